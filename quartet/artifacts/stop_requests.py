"""Stop cleanly on SIGTERM, which a stage also gets when its parent `dvc` process dies."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator


class Interrupted(SystemExit):
    """The training was asked to stop; its checkpoint is saved, and the next run resumes from it."""


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within the block, SIGTERM does not end the process; the yielded function returns whether it has arrived."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_parent() -> None:
    """Ask Linux to send SIGTERM when the parent `dvc` process dies, so that no stage is orphaned.

    Does nothing on other systems, or in a stage that is run by hand, which may outlive its shell.
    """
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # an exception, so that cleanup code runs
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the call above
        raise SystemExit(143)
