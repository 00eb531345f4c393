"""Locks on the outputs of stages, so that two stages that are run by hand do not write the same one at once."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from quartet.artifacts.exchanging import restore
from quartet.artifacts.unfinished import remove_debris

LOCKS = Path(".quartet/locks")  # beside the outputs, which are those of the current folder


@contextlib.contextmanager
def sole_writer(output: Path) -> Iterator[None]:
    """Hold the lock of an output for the duration of the block, and remove first what killed runs left beside it.

    Raises:
        ValueError: another process holds it.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    file = LOCKS / f"{output.as_posix().replace('/', '-')}.lock"
    with file.open("a+", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            holder = held.read().strip() or "another process"
            raise ValueError(f"{output} is being written by {holder}; wait for its end, then run this again") from None
        except OSError:
            pass  # some file systems over a network have no such locks
        held.truncate(0)
        held.write(f"process {os.getpid()} on {socket.gethostname()}")
        held.flush()
        restore(output)
        remove_debris(output.parent)
        yield
