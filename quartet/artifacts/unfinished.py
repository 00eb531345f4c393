"""Files and folders that are being written, and what killed processes left of theirs.

Whoever writes one holds a lock on it, which ends with the process, however it ends: one without a lock is debris.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from quartet.artifacts.exchanging import remove

PREFIX = ".unfinished-"


@contextlib.contextmanager
def unfinished_file(parent: Path, suffix: str = "") -> Iterator[Path]:
    """Yield the path of a new file in `parent`; it is removed at the end unless it has moved."""

    def create() -> Path:
        handle, name = tempfile.mkstemp(dir=parent, prefix=PREFIX, suffix=suffix)
        os.close(handle)
        return Path(name)

    with _new(create, parent) as path:
        yield path


@contextlib.contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """Yield the path of a new folder in `parent`; it is removed at the end unless it has moved."""
    with _new(lambda: Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX)), parent) as path:
        yield path


@contextlib.contextmanager
def _new(create: Callable[[], Path], parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = create()
        with _held(path) as is_ours:
            if is_ours:  # not if another process took it for debris before it was locked
                try:
                    yield path
                finally:
                    remove(path)
                return


def debris(folders: Iterable[Path]) -> list[Path]:
    """What killed processes left in these folders."""
    found = []
    for path in (path for folder in folders for path in sorted(folder.glob(f"{PREFIX}*"))):
        with _held(path, if_unlockable=False) as is_left:
            if is_left:
                found.append(path)
    return found


def remove_debris(*folders: Path) -> None:
    """Remove what killed processes left in these folders."""
    for path in (path for folder in folders for path in folder.glob(f"{PREFIX}*")):
        with _held(path, if_unlockable=False) as is_left:
            if is_left:
                remove(path)


@contextlib.contextmanager
def _held(path: Path, if_unlockable: bool = True) -> Iterator[bool]:
    """Hold the lock on a path; yields False if another process has it or removed the path.

    `if_unlockable` is yielded where the file system has no such locks, as some over a network.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = path.exists()
    except BlockingIOError:
        is_ours = False
    except OSError:
        is_ours = if_unlockable
    try:
        yield is_ours
    finally:
        os.close(handle)
