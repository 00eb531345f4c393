"""One attempt to download a file, watched from outside: it ends when it is too slow, however a server drags it out."""

import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from quartet.artifacts.disk_space import NoRoom, naming_full_disks

if TYPE_CHECKING:
    import requests

LOWEST_RATE = 1024  # bytes per second, over each span of `timeout` seconds
TOTAL_SECONDS = 4 * 3600.0  # of a download with all its attempts
CHUNK = 4096  # bytes; they are counted as they come, so that a slow connection is not taken for a dead one
WATCHED = 0.2  # seconds


class Progress(Protocol):
    """Shows how far a download is."""

    total: int

    def update(self, count: int) -> None:
        """So many more bytes are there."""


class Attempt:
    """A download in a thread of its own, since a server can block a read for as long as it likes, byte by byte.

    Args:
        url: what is downloaded.
        target: the file that is written.
        timeout: seconds without a response, or at less than the lowest rate, after which it fails.
        progress: is told of every byte.
    """

    def __init__(self, url: str, target: Path, timeout: float, progress: Progress):
        self.url, self.target, self.timeout, self.progress = url, target, timeout, progress
        self.received = 0
        self.failure: Exception | None = None
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def finish(self, deadline: float) -> None:
        """Download until it is done.

        Args:
            deadline: the time of `time.monotonic` at which it ends in any case.

        Raises:
            requests.RequestException: it failed or was too slow.
            TimeoutError: the deadline has passed.
            OSError: the file cannot be written.
        """
        import requests

        began = marked = time.monotonic()
        before = 0
        self._thread.start()
        while self._thread.is_alive():
            self._thread.join(WATCHED)
            now = time.monotonic()
            if now > deadline:
                self._abandoned.set()
                raise TimeoutError(f"it takes more than {TOTAL_SECONDS:,.0f} s")
            if not self.received:  # connecting and answering may each take the timeout
                slow, marked = now - began > 3 * self.timeout, now
            elif now - marked > self.timeout:
                slow = self.received - before < LOWEST_RATE * self.timeout
                before, marked = self.received, now
            else:
                continue
            if slow and self._thread.is_alive():
                self._abandoned.set()
                raise requests.Timeout(
                    f"it is too slow: {self.received:,} bytes in {now - began:.0f} s; at least {LOWEST_RATE:,} per "
                    f"second are wanted during each {self.timeout:g} s"
                )
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        import requests

        try:
            # Packed on the way, a small answer could unpack to any size.
            headers = {"Accept-Encoding": "identity"}
            with requests.get(self.url, timeout=self.timeout, stream=True, headers=headers) as answer:
                answer.raise_for_status()
                self._receive(answer)
        except Exception as error:  # raised again in the thread that waits
            self.failure = error

    def _receive(self, answer: "requests.Response") -> None:
        size = _declared(answer)
        free = shutil.disk_usage(self.target.parent).free
        if size > free:
            raise NoRoom(self.target, size)
        self.progress.total = size
        with naming_full_disks(self.target, size or None), self.target.open("wb") as file:
            for chunk in answer.iter_content(CHUNK):
                if self._abandoned.is_set():
                    return
                file.write(chunk)
                self.received += len(chunk)
                self.progress.update(len(chunk))


def _declared(answer: "requests.Response") -> int:
    """The size that the server says; 0 if it says none."""
    import requests

    text = answer.headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise requests.RequestException(f"its Content-Length is {text[:40]!r}, which is no size")
    return int(text)
