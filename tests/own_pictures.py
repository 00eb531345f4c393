"""Pictures of a user's own, drawn for the tests of the image family, and brought through its two first stages."""

from pathlib import Path

import numpy as np
from PIL import Image

from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import write_json
from quartet.images.preparation import prepare_images
from quartet.images.settings import PreprocessImages
from quartet.images.sources import download_images

MIRROR = Path(__file__).parents[1] / "../shared/data"


def prepare(tmp_path, settings=None, *, images="digits", mirror=None):
    raw, folder = tmp_path / "raw", tmp_path / "processed"
    bring(raw, images, mirror)
    return prepare_images(raw, folder, settings or PreprocessImages()), folder


def bring(raw, images="digits", mirror=None):
    """What the stage `download` does."""
    manifest = download_images(images, Fetching(mirror=mirror), raw)
    write_json(raw / "manifest.json", manifest)
    return manifest


def draw(path, mode="L", size=(20, 20), exif=None, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    picture = Image.fromarray(noise)
    picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    picture.save(path, **({"exif": exif} if exif else {}))


def own_folder(tmp_path):
    own = tmp_path / "own"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    modes = ["L", "RGB", "RGBA", "P", "I;16"]
    for label in ("a cat", "dög"):
        for number, mode in enumerate(modes):
            draw(own / label / f"{number}.png", mode, (16 + number, 20))
        draw(own / label / "turned.jpg", "RGB", (30, 20), exif)
    return own
