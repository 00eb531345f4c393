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
    announced = False
    while True:
        for index, name in enumerate(names):
            lock = _lock_of(name)
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


def wait_for_gpus(names: Sequence[str], count: int) -> None:
    """Wait until no process of this repository holds `count` of the GPUs."""
    if sum(map(_is_free, names)) >= count:
        return
    print(f"waiting for {count} GPUs: others train on some of the {len(names)}", file=sys.stderr, flush=True)
    while sum(map(_is_free, names)) < count:
        time.sleep(WAIT_SECONDS)


def _lock_of(name: str) -> FileLock:
    paths.locks().mkdir(parents=True, exist_ok=True)
    # A singleton lock, so that a process that already holds the GPU does not wait for itself.
    return FileLock(paths.locks() / f"gpu-{name}.lock", timeout=0, is_singleton=True)


def _is_free(name: str) -> bool:
    try:
        with _lock_of(name):
            return True
    except Timeout:
        return False
