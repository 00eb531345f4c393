"""A limit on the time that one question may take: long work asks between its steps whether it is over, and ends."""

import contextlib
import contextvars
import time
from collections.abc import Iterator

_limit: contextvars.ContextVar[tuple[float, float] | None] = contextvars.ContextVar("limit", default=None)


class TimeLimitReached(RuntimeError):
    """The answer takes longer than its question is allowed."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Within the block, and in its thread alone, `check_time` raises once so many seconds have passed."""
    token = _limit.set((time.monotonic() + seconds, seconds))
    try:
        yield
    finally:
        _limit.reset(token)


def check_time() -> None:
    """Called between tokens and between the steps of a sampler; does nothing where there is no limit.

    Raises:
        TimeLimitReached: the time is over.
    """
    limit = _limit.get()
    if limit is not None and time.monotonic() > limit[0]:
        raise TimeLimitReached(f"the answer takes longer than {limit[1]:g} s; ask for less at once")
