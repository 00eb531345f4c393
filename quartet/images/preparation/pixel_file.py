"""Pixels of many pictures in one temporary file, so that a set may be larger than memory."""

from pathlib import Path

import numpy as np


class PixelFile:
    """A file to which pixels are appended, and which is then read through the operating system's page cache.

    Args:
        path: of a file that is created or emptied.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path.open("wb")
        self._kept: list[tuple[int, tuple[int, ...], np.dtype]] = []

    def append(self, pixels: np.ndarray) -> None:
        """Add an array of any shape, of 8 or 16 bits."""
        self._kept.append((self._file.tell(), pixels.shape, pixels.dtype))
        self._file.write(np.ascontiguousarray(pixels).data)

    def close(self) -> list[np.ndarray]:
        """End writing; returns all arrays, in memory only while they are used."""
        self._file.close()
        if not self._kept:
            return []
        whole = np.memmap(self.path, np.uint8, "r")
        return [
            np.asarray(whole[start : start + int(np.prod(shape)) * dtype.itemsize]).view(dtype).reshape(shape)
            for start, shape, dtype in self._kept
        ]
