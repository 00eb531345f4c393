"""Bring decoded pictures to one size and to 8 bits."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from quartet.images.preparation.decoding import WHITE_16

CUT_OFF = 0.001  # share of the darkest and of the brightest 16-bit pixels that become black and white


def resized(pixels: np.ndarray, size: int, fit: str) -> np.ndarray:
    """`(height, width[, 3])` to `(size, size[, 3])` of the same type, uint8 or uint16, antialiased.

    Of pictures that are not square, `crop` keeps the middle, `pad` adds black, `stretch` changes the proportions.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side) if fit == "crop" else (0, 0, width, height)
    shape = (size, size)
    if fit == "pad":
        shape = tuple(max(1, round(size * length / max(height, width))) for length in (width, height))
    if pixels.dtype == np.uint8:
        found = np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.BICUBIC, box))
    else:
        # Pillow resizes floating-point pictures, but not 16-bit ones, with antialiasing.
        picture = Image.fromarray(pixels.astype(np.float32)).resize(shape, Image.Resampling.BICUBIC, box)
        found = np.asarray(picture).round().clip(0, WHITE_16).astype(np.uint16)
    if shape == (size, size):
        return found
    square = np.zeros((size, size, *pixels.shape[2:]), pixels.dtype)
    top, left = (size - found.shape[0]) // 2, (size - found.shape[1]) // 2
    square[top : top + found.shape[0], left : left + found.shape[1]] = found
    return square


def to_square(
    pixels: np.ndarray, size: int, channels: int, fit: str, grey_range: tuple[int, int] = (0, WHITE_16)
) -> np.ndarray:
    """Resize `(height, width[, 3])` pixels and make them grey or RGB, `(channels, size, size)` uint8."""
    square = to_eight_bits(resized(pixels, size, fit), grey_range)
    if square.ndim != (2 if channels == 1 else 3):
        square = np.asarray(Image.fromarray(square).convert("L" if channels == 1 else "RGB"))
    return square[None] if channels == 1 else square.transpose(2, 0, 1)


def to_eight_bits(pixels: np.ndarray, grey_range: tuple[int, int]) -> np.ndarray:
    """16-bit grey to uint8: `grey_range` becomes 0 to 255. Pixels of 8 bits stay as they are."""
    if pixels.dtype == np.uint8:
        return pixels
    black, white = grey_range
    return ((pixels.astype(np.int64) - black) * 255 // max(white - black, 1)).clip(0, 255).astype(np.uint8)


def measure_grey_range(pictures: Iterable[np.ndarray]) -> tuple[int, int]:
    """The range that holds nearly all pixels of some 16-bit pictures: cameras use a small part of what 16 bits hold."""
    counts = sum(
        (np.bincount(pixels.ravel(), minlength=WHITE_16 + 1) for pixels in pictures), start=np.zeros(1, np.int64)
    )
    shares = counts.cumsum() / counts.sum()
    return int(np.searchsorted(shares, CUT_OFF)), int(np.searchsorted(shares, 1 - CUT_OFF))
