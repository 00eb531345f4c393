"""The preview of the prepared images: some training pictures before and after preparation."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from quartet.images.preparation.reading import RawImage, read_raw_images
from quartet.images.preparation.resizing import to_eight_bits
from quartet.reporting.drawing.figures import save_figure
from quartet.reporting.image_sheets import image_sheet

SHOWN, SHOWN_SIZE = 8, 256  # number of images, and the largest side at which an original is shown
LINE, LINES = 14, 4  # characters and lines of a caption


def save_preview(path: Path, raw: Path, manifest: Mapping, images: Sequence[RawImage], prepared: np.ndarray) -> None:
    """Draw the originals of some images above the prepared ones, with their captions or classes.

    `prepared` is `(images, channels, size, size)` uint8, in the order of `images`.
    """
    originals = _originals(raw, manifest, [image.name for image in images])
    above = [[_title(image, manifest["classes"]) for image in images], [""] * len(images)]
    title = f"Training images of {manifest['source']}"
    save_figure(image_sheet([originals, prepared], ["raw", "preprocessed"], above, title=title), path)


def _originals(raw: Path, manifest: Mapping, names: Sequence[str]) -> list[np.ndarray]:
    """The originals, `(channels, height, width)` uint8, reduced to `SHOWN_SIZE` if they are larger."""
    small = []
    for image in itertools.islice(read_raw_images(raw, manifest, [], only=set(names)), len(names)):
        darkest, brightest = (image.pixels.min(), image.pixels.max()) if image.pixels.dtype == np.uint16 else (0, 255)
        picture = Image.fromarray(to_eight_bits(image.pixels, (int(darkest), int(brightest))))
        picture.thumbnail((SHOWN_SIZE, SHOWN_SIZE))
        small.append(np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1))
    return small


def _title(image: RawImage, classes: Sequence[str]) -> str:
    text = image.captions[0] if image.captions else classes[image.label]
    return "\n".join(textwrap.wrap(text, LINE, max_lines=LINES, placeholder=" …"))
