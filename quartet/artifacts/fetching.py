"""Download a file from its official site or a mirror, with retries and a checksum; never leaves a partial file."""

import contextlib
import dataclasses
import gzip
import hashlib
import shutil
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts.checksums import sha256
from quartet.artifacts.disk_space import NoRoom
from quartet.artifacts.paths import user_path
from quartet.artifacts.secrets import without_secrets
from quartet.artifacts.transfers import TOTAL_SECONDS, Attempt
from quartet.artifacts.writing import atomic_path
from quartet.params.fields import setting

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclasses.dataclass(frozen=True)
class Fetching:
    """Where files are downloaded from, and how often and how long to try."""

    mirror: str | None = setting(None, "folder or URL to download from instead of the official sites")
    retries: int = setting(4, "retries after a failed download, with growing pauses", at_least=0, at_most=20)
    timeout: float = setting(
        30.0, "seconds without a response before an attempt counts as failed", above=0, at_most=3600
    )


class FetchError(RuntimeError):
    """A file could not be downloaded, or is not the expected one."""


def fetch(
    name: str,
    official: str,
    target: Path,
    settings: Fetching,
    *,
    expected: str | None = None,
    checksum_of: Callable[[Path], str] = sha256,
) -> str:
    """Download a file to `target` and return its checksum.

    `name` is its path in a mirror, `official` its official URL. `checksum_of` computes the checksum to compare with
    `expected` (`sha256_unpacked` reads the content of a .gz) and may raise OSError for a damaged file. A failed
    download is retried `settings.retries` times, after pauses of 1, 2, 3, … seconds, at most 10.

    Raises:
        FetchError: the file is unreachable, truncated or wrong; nothing is left at `target`.
    """
    source = official if settings.mirror is None else f"{settings.mirror.rstrip('/')}/{name}"
    with atomic_path(target) as temporary:
        if "://" in source:
            _transfer(source, temporary, settings.retries, settings.timeout)
        else:
            _copy(user_path(source), temporary)
        source = without_secrets(source)
        try:
            found = checksum_of(temporary)
        except (OSError, EOFError, zlib.error, struct.error) as error:
            raise FetchError(f"{source}: {error}; the file is truncated or damaged. {_REMEDY}") from error
        if expected is not None and found != expected:
            raise FetchError(f"{source}: wrong content: expected checksum {expected}, found {found}. {_REMEDY}")
    return found


LARGEST_UNPACKED = 2**28  # bytes of a file of images or labels
_REMEDY = "Nothing was kept. Try again, or set download.mirror; `dvc checkout` restores earlier data."


def sha256_unpacked(path: Path) -> str:
    """SHA-256 of a gzip file's content, which stays the same however it is compressed.

    Raises:
        OSError: it is damaged, or unpacks to more than `LARGEST_UNPACKED`.
    """
    digest, size = hashlib.sha256(), 0
    with gzip.open(path, "rb") as stream:
        while chunk := stream.read(2**20):
            size += len(chunk)
            refuse_larger(size, LARGEST_UNPACKED)
            digest.update(chunk)
    return digest.hexdigest()


def refuse_larger(size: int, limit: int) -> None:
    """Raise OSError if an archive unpacks to more bytes than the data set has."""
    if size > limit:
        raise OSError(f"it unpacks to more than {limit / 2**20:,.0f} MiB, which this data set does not have")


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise FetchError(f"{source}: no such file in the mirror. {_REMEDY}") from error


def _transfer(url: str, target: Path, retries: int, timeout: float) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")

    shown, deadline = without_secrets(url), time.monotonic() + TOTAL_SECONDS

    def download(url: str, output: str, pup: pooch.Pooch) -> None:
        """Make one attempt; an error that a retry cannot fix, such as 404, is raised as FetchError and ends them."""
        with contextlib.closing(_Progress(shown)) as progress:
            try:
                Attempt(url, Path(output), timeout, progress).finish(deadline)
            except requests.RequestException as error:
                answer = error.response
                if answer is not None and 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
                    raise FetchError(f"{shown}: {without_secrets(str(error))}. {_REMEDY}") from error
                print(f"{shown}: {without_secrets(str(error))}", flush=True)
                raise
            except NoRoom as error:
                raise FetchError(f"{shown}: {error}") from error

    # `fetch` compares the checksum, which may be of the unpacked content, so pooch gets none.
    pup = pooch.create(
        target.parent, "", registry={target.name: None}, urls={target.name: url}, retry_if_failed=retries
    )
    target.unlink()
    try:
        pup.fetch(target.name, downloader=download)
    except TimeoutError as error:
        raise FetchError(f"{shown}: {error}. {_REMEDY}") from error
    except (requests.RequestException, OSError, ValueError) as error:
        raise FetchError(f"{shown}: {without_secrets(str(error))} (after {retries + 1} attempts). {_REMEDY}") from error


class _Progress:
    """pooch's progress bar, drawn by rich: bytes, rate and time left."""

    def __init__(self, url: str):
        self.url, self.total = url, 0
        self.shown: Progress | None = None

    def _opened(self) -> "Progress":
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        shown = Progress(
            "{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        )
        self.task = shown.add_task(self.url.rsplit("/", 1)[-1], total=self.total or None)
        shown.start()
        return shown

    def update(self, count: int) -> None:
        if self.shown is None:
            self.shown = self._opened()
        self.shown.update(self.task, advance=count)

    def reset(self) -> None:
        if self.shown is not None:
            self.shown.reset(self.task, total=self.total or None)

    def close(self) -> None:
        if self.shown is not None:
            self.shown.update(self.task, completed=self.total)
            self.shown.stop()
            self.shown = None
