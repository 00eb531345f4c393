"""What is said when a disk is full: which path was written, how much it needs, and how much is free."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


class NoRoom(OSError):
    """There is no room for a file; the message says for which, how much it needs, and how much is free.

    Args:
        path: what was to be written.
        needed: its bytes; None if they are not known.
        number: the system's error.
    """

    def __init__(self, path: Path, needed: int | None, number: int = errno.ENOSPC):
        super().__init__(number, _message(path, needed, number), str(path))

    def __str__(self) -> str:
        return str(self.strerror)


@contextlib.contextmanager
def naming_full_disks(path: Path, needed: int | None = None) -> Iterator[None]:
    """Within the block, a write that finds no room raises `NoRoom`, whatever the writer said.

    Args:
        path: what is written.
        needed: its bytes, where they are known; otherwise the message says that it is more than is free.
    """
    try:
        yield
    except NoRoom:
        raise  # it names the file, this would name its folder
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NoRoom(path, needed, error.errno) from error


def _message(path: Path, needed: int | None, number: int) -> str:
    folder = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.is_dir())
    reason, free = os.strerror(number), shutil.disk_usage(folder).free
    wants = f"it takes {_size(needed)}" if needed is not None else f"it takes more than the {_size(free)} that are free"
    return f"{path}: {reason}: {wants}, and {_size(free)} are free in {folder}; make room, and run it again"


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
