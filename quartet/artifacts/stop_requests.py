"""Stop cleanly on SIGINT, SIGHUP and SIGTERM; a stage also gets SIGTERM when its parent `dvc` process dies."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
CLEANUP_SECONDS = 4.0  # after a signal, a stage has this long to mark its run and remove temporary files


class Interrupted(SystemExit):
    """The stage was asked to stop; its exit code is 128 + the number of the signal, as shells have it."""


class StopRequests:
    """The first signal that asked to stop, if any has."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._raises = False

    def check(self) -> None:
        """Raise `Interrupted` if a signal has arrived."""
        if self.received is not None:
            raise Interrupted(128 + self.received)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block, a signal raises `Interrupted` where it arrives."""
        self.check()
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; others after the first change nothing: a closed terminal sends several."""
        if self.received is None:
            self.received = number
            if self._raises:
                self.check()


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Within the block, the signals do not end the process; the yielded object tells whether one has arrived.

    Raises:
        Interrupted: one has, and the block ended without a check.
    """
    requests = StopRequests()
    try:
        with _handlers(requests.receive):
            yield requests
        requests.check()
    finally:
        if requests.received is not None:
            _begin_cleanup(requests.received)


@contextlib.contextmanager
def ends_when_told() -> Iterator[None]:
    """Within the block, the signals raise `Interrupted`, so that cleanup code runs, for a few seconds at most.

    Linux is asked to send SIGTERM when the parent dies, a `dvc` process or one that started several, so that no stage
    is orphaned; not for a stage that is run by hand, which may outlive its shell.
    """
    before = signal.signal(signal.SIGALRM, _end_cleanup)
    try:
        with _handlers(_end), _raised_again():
            _end_with_parent()
            yield
    finally:
        if _told:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _told.clear()
        signal.signal(signal.SIGALRM, before)


_told: list[int] = []  # the signal after which this process cleans up


def _end(number: int, frame: FrameType | None) -> None:
    if _told:
        return
    name = signal.Signals(number).name
    advice = "; `dvc checkout` brings back what DVC built before" if "DVC_STAGE" in os.environ else ""
    os.write(2, f"stopped by {name}; run the same command again{advice}\n".encode())  # print is not for handlers
    _begin_cleanup(number)
    raise Interrupted(128 + number)


def _begin_cleanup(number: int) -> None:
    if not _told and signal.getsignal(signal.SIGALRM) is _end_cleanup:
        _told.append(number)
        signal.setitimer(signal.ITIMER_REAL, CLEANUP_SECONDS)


@contextlib.contextmanager
def _raised_again() -> Iterator[None]:
    """Within the block, an `Interrupted` that Python swallows is raised once more, a moment later.

    Python swallows what is raised in a finalizer, or in the callback of a weak reference, and prints a traceback.
    """
    before = sys.unraisablehook

    def again(swallowed: "sys.UnraisableHookArgs") -> None:
        if not isinstance(swallowed.exc_value, Interrupted):
            before(swallowed)
        elif _told:
            signal.setitimer(signal.ITIMER_REAL, 0.01, CLEANUP_SECONDS)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


def _end_cleanup(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(128 + _told[0])


@contextlib.contextmanager
def _handlers(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals for the duration of the block, but those that are ignored, as SIGHUP is below `nohup`."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number in SIGNALS if before[number] != signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def _end_with_parent() -> None:
    if sys.platform != "linux" or not {"DVC_STAGE", "TORCHELASTIC_RUN_ID"} & set(os.environ):
        return
    parent = os.getppid()
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the call above
        raise Interrupted(143)
