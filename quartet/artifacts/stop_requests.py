"""Stop cleanly: the death of the parent `dvc` is a SIGTERM, which a training sees between two steps."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator


class Interrupted(SystemExit):
    """The training was asked to stop; its checkpoint is saved and the next run goes on from it."""


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within the block, SIGTERM does not kill; the yielded function tells whether it came."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent `dvc` dies, so that it leaves no orphan; elsewhere a no-op.

    A stage that is run by hand may outlive its shell.
    """
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # by way of what cleans up
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the request
        raise SystemExit(143)
