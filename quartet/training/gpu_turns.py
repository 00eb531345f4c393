"""One process per GPU: experiments that run at once take turns instead of filling one GPU's memory together."""

import sys
import time
from collections.abc import Sequence

from filelock import FileLock, Timeout

from quartet.artifacts import paths

WAIT_SECONDS = 0.5
_held: list[FileLock] = []  # until the process ends, however it ends


def take_gpu(names: Sequence[str]) -> int:
    """The index of the first GPU that no other process of this repository holds, held from now on; waits for one."""
    paths.locks().mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for index, name in enumerate(names):
            # One lock per file and process: who holds the GPU already gets it again instead of waiting for itself.
            lock = FileLock(paths.locks() / f"gpu-{name}.lock", timeout=0, is_singleton=True)
            try:
                lock.acquire()
            except Timeout:
                continue
            _held.append(lock)
            return index
        if not told:
            print(f"waiting for a GPU: all {len(names)} are taken", file=sys.stderr, flush=True)
            told = True
        time.sleep(WAIT_SECONDS)
