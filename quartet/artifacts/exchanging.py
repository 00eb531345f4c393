"""Put a finished file or folder in another's place, so that at every moment one of the two is there."""

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

FORMER = ".former-"  # prefix of an old folder that has left its place, where two folders cannot be exchanged
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def put_in_place(source: Path, target: Path) -> None:
    """Move `source` to `target`, replacing what is there; a kill at any moment leaves the old or the new at `target`.

    Where the file system cannot exchange two folders, the old one leaves first, under another name: a kill between the
    two renames leaves it there, and `restore` brings it back.

    Raises:
        OSError: `target` is of another kind than `source`, or cannot be replaced; it is left unchanged.
    """
    if not (source.is_dir() and target.is_dir()):
        try:
            source.replace(target)
        except OSError as error:  # which names the source, a name that no user knows
            raise type(error)(error.errno, error.strerror, str(target)) from error
    elif exchange(source, target):
        remove(source)  # which is the old folder now
    else:
        former = target.with_name(FORMER + target.name)
        remove(former)
        target.replace(former)
        source.replace(target)
        remove(former)


def exchange(first: Path, second: Path) -> bool:
    """Swap two paths of one file system in one step; False if the system or the file system cannot do it.

    Raises:
        OSError: either does not exist or may not be moved.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    swap = 2  # RENAME_EXCHANGE of <linux/fs.h>, RENAME_SWAP of macOS's <sys/stdio.h>
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        current_folder = -100  # AT_FDCWD of <fcntl.h>
        failed = libc.renameat2(current_folder, names[0], current_folder, names[1], swap)
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(*names, swap)
    else:
        return False
    if failed and ctypes.get_errno() not in _UNSUPPORTED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(second))
    return not failed


def restore(target: Path) -> None:
    """Undo what a kill between the two renames of `put_in_place` left, or remove the old folder if it was later."""
    former = target.with_name(FORMER + target.name)
    if former.is_dir() and not target.exists():
        former.replace(target)
        print(f"{target}: restored from {former}, where a killed run left it", flush=True)
    else:
        remove(former)


def remove(path: Path) -> None:
    """Remove a file, link or folder as far as this process may; one that is not there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
