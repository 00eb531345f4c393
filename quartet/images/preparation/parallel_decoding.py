"""Decode many picture files on all cores, in their order, with few of them in memory."""

import io
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from quartet.artifacts.errors import BadInput
from quartet.images.preparation.decoding import decode

MANY = 2_000  # pictures for which it pays to start processes
CHUNK, CHUNK_BYTES = 64, 2**20  # the most pictures, and bytes of their files, that a process is handed at once

NamedFile = tuple[str, bytes]  # the name that messages use, and the content


def decode_all(files: Iterable[NamedFile], count: int) -> Iterator[np.ndarray | str]:
    """The pixels of each of `count` picture files; of a broken one, the error message.

    Raises:
        BadInput: a decoding process was killed.
    """
    cores = usable_cores()
    if count < MANY or cores == 1:
        yield from map(_decoded, files)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads
    with ProcessPoolExecutor(cores, mp_context=spawn, initializer=_end_with_parent) as pool:
        waiting: deque[Future[list[np.ndarray | str]]] = deque()
        try:
            for chunk in _chunks(files):
                waiting.append(pool.submit(_decoded_each, chunk))
                if len(waiting) > 2 * cores:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise BadInput(
                "a process that decodes pictures was killed, as a rule for want of memory; "
                f"{cores} of them decode at once: free memory, or let one core do it with `taskset -c 0 dvc repro`"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(files: Iterable[NamedFile]) -> Iterator[list[NamedFile]]:
    chunk, size = [], 0
    for name, content in files:
        chunk.append((name, content))
        size += len(content)
        if len(chunk) == CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _decoded_each(files: list[NamedFile]) -> list[np.ndarray | str]:
    return [_decoded(file) for file in files]


def _decoded(file: NamedFile) -> np.ndarray | str:
    name, content = file
    try:
        return decode(io.BytesIO(content), name)
    except ValueError as error:
        return str(error)


def _end_with_parent() -> None:
    """End this process when the one that started it is killed."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
