"""Lock GPUs, so that experiments that run at once take turns instead of filling one GPU's memory together."""

import sys
import time
from collections.abc import Sequence

from filelock import FileLock, Timeout

from quartet.artifacts import paths

WAIT_SECONDS = 0.5
_held: list[FileLock] = []  # until the process ends, however it ends


def lock_gpu(names: Sequence[str]) -> int:
    """Wait for a GPU that no other process of this repository holds; returns its index and holds it until exit."""
    paths.locks().mkdir(parents=True, exist_ok=True)
    announced = False
    while True:
        for index, name in enumerate(names):
            # A singleton lock, so that a process that already holds the GPU does not wait for itself.
            lock = FileLock(paths.locks() / f"gpu-{name}.lock", timeout=0, is_singleton=True)
            try:
                lock.acquire()
            except Timeout:
                continue
            _held.append(lock)
            return index
        if not announced:
            print(f"waiting for a GPU: all {len(names)} are taken", file=sys.stderr, flush=True)
            announced = True
        time.sleep(WAIT_SECONDS)
