"""Convert pixel arrays to Pillow images and PNG files."""

import io

import numpy as np
from PIL import Image


def to_picture(pixels: np.ndarray) -> Image.Image:
    """Convert `(height, width, channels)` uint8 to a Pillow image: grey for one channel, RGB for three."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def to_png(pixels: np.ndarray) -> bytes:
    """Convert `(height, width, channels)` uint8 to a PNG file."""
    stream = io.BytesIO()
    to_picture(pixels).save(stream, format="PNG")
    return stream.getvalue()
