"""Decode many picture files on all cores, in their order, with few of them in memory."""

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from PIL import Image

from quartet.images.preparation.decoding import decode

CHUNK, CHUNK_BYTES = 16, 2**18  # the most pictures, and bytes of their files, that a thread is handed at once

NamedFile = tuple[str, bytes]  # the name that messages use, and the content


def decode_all(files: Iterable[NamedFile]) -> Iterator[np.ndarray | str]:
    """The pixels of each picture file; of a broken one, the error message.

    Threads do it: Pillow lets others run while it decodes. Processes would have to send the pixels, which takes longer
    than decoding them.
    """
    cores = usable_cores()
    Image.init()  # which is not for several threads at once
    with ThreadPoolExecutor(cores) as pool:
        waiting: deque[Future[list[np.ndarray | str]]] = deque()
        try:
            for chunk in _chunks(files):
                waiting.append(pool.submit(_decoded_each, chunk))
                if len(waiting) > 2 * cores:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
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
