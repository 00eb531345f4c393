"""The preview of the prepared images: some training pictures before and after preparation."""

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from quartet.images.reading import read_raw_images
from quartet.reporting.figures import save_figure
from quartet.reporting.image_sheets import image_sheet

SHOWN, SHOWN_SIZE = 8, 256  # number of images, and the largest side at which an original is shown


def save_preview(path: Path, raw: Path, manifest: dict, indices: list[int], prepared: np.ndarray) -> None:
    """Draw the originals at the given ascending indices above the prepared images.

    `prepared` is `(images, channels, size, size)` uint8.
    """
    originals = [np.atleast_3d(pixels).transpose(2, 0, 1) for pixels in _originals(raw, manifest, indices)]
    title = f"Training images of {manifest['source']}"
    save_figure(image_sheet([originals, prepared], ["raw", "preprocessed"], title=title), path)


def _originals(raw: Path, manifest: dict, indices: list[int]) -> list[np.ndarray]:
    """The originals at the given ascending indices, reduced to `SHOWN_SIZE` if they are larger."""
    small = []
    for index, image in enumerate(itertools.islice(read_raw_images(raw, manifest), max(indices) + 1)):
        if index in indices:
            picture = Image.fromarray(image.pixels)
            picture.thumbnail((SHOWN_SIZE, SHOWN_SIZE))
            small.append(np.asarray(picture))
    return small
