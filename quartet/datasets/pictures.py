"""Pixels as picture files."""

import io

import numpy as np
from PIL import Image


def to_picture(pixels: np.ndarray) -> Image.Image:
    """`(height, width, channels)` uint8 as a picture, grey where there is one channel."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def to_png(pixels: np.ndarray) -> bytes:
    """`(height, width, channels)` uint8 as a PNG file."""
    stream = io.BytesIO()
    to_picture(pixels).save(stream, format="PNG")
    return stream.getvalue()
