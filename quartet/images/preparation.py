"""From raw pictures to the images that training reads (`datasets/images.py` says how they are kept)."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from quartet.artifacts.checksums import sha256_of_folder
from quartet.artifacts.model_store import save_arrays
from quartet.artifacts.writing import read_json, write_json
from quartet.datasets.splits import split_examples
from quartet.images.preview import SHOWN, save_preview
from quartet.images.reading import RawImage, read_raw_images
from quartet.images.settings import PreprocessImages

# Sides that images are brought to when no size is set: of different sizes or not square, and square ones at most.
MIXED_SIZE, LARGEST_SIZE = 48, 96


def prepare_images(raw: Path, folder: Path, settings: PreprocessImages) -> dict:
    """Decode, resize, split, measure, with one original in memory at a time; returns what `info.json` holds.

    Raises:
        ValueError: an image is broken, or a class is too small; the message names it.
    """
    manifest = read_json(raw / "manifest.json")
    images, size = _read_resized(raw, manifest, settings.size)
    classes = manifest["classes"]
    channels = settings.channels or (3 if any(image.pixels.ndim == 3 for image in images) else 1)
    pixels = np.stack([to_square(image.pixels, size, channels) for image in images])
    labels = np.asarray([image.label for image in images], np.int64)
    splits = split_examples(
        labels,
        [image.official_split for image in images],
        [image.track for image in images],
        settings.validation,
        settings.split_seed,
        classes,
    )
    for name, indices in splits.items():
        save_arrays(folder / f"{name}.safetensors", {"images": pixels[indices], "labels": labels[indices]})
    mean, std = mean_and_deviation(pixels[splits["train"]])
    info = {
        "source": manifest["source"],
        "classes": classes,
        "caption_subject": manifest["caption_subject"],
        "size": size,
        "channels": channels,
        "mean": mean,
        "std": std,
        "counts": {name: len(indices) for name, indices in splits.items()},
        "sha256": sha256_of_folder(folder),
    }
    write_json(folder / "info.json", info)
    shown = splits["train"][:SHOWN]
    save_preview(folder / "preview.png", raw, manifest, shown.tolist(), pixels[shown])
    return info


def _read_resized(raw: Path, manifest: dict, size: int | None) -> tuple[list[RawImage], int]:
    """Every image at `size`, grey or RGB as it came.

    Null takes the side that all images share, but `LARGEST_SIZE` at most, or `MIXED_SIZE` if they share none.
    """
    images: list[RawImage] = []
    shared = None
    for image in read_raw_images(raw, manifest):
        height, width = image.pixels.shape[:2]
        if size is None:
            shared = height, width
            size = min(height, LARGEST_SIZE) if height == width and height >= 8 else MIXED_SIZE
        elif shared not in (None, (height, width)) and size != MIXED_SIZE:
            # From the originals, since an image that is resized twice is another.
            return _read_resized(raw, manifest, MIXED_SIZE)
        images.append(dataclasses.replace(image, pixels=_resized(image.pixels, size)))
    if shared and size == LARGEST_SIZE < shared[0]:
        print(
            f"{manifest['source']}: images of {shared[0]}×{shared[0]} are brought to {size}×{size}; "
            "another side is set by preprocess.images.size",
            flush=True,
        )
    return images, size or MIXED_SIZE  # null is left where there is no image


def mean_and_deviation(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of `(images, channels, height, width)` uint8, in shares of 255.

    Counted by grey level, so that no copy of the images in a larger type is made.
    """
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        each = (np.bincount(image[channel].ravel(), minlength=256) for image in pixels)
        counts = sum(each, start=np.zeros(256, np.int64))
        shares = counts / counts.sum()
        mean = float(shares @ levels)
        means.append(round(mean, 6))
        deviations.append(round(max(float(shares @ (levels - mean) ** 2) ** 0.5, 1e-3), 6))
    return means, deviations


def to_square(pixels: np.ndarray, size: int, channels: int) -> np.ndarray:
    """`(height, width[, 3])` uint8 to `(channels, size, size)` uint8: antialiased resize, then grey or RGB."""
    picture = Image.fromarray(_resized(pixels, size))
    mode = "L" if channels == 1 else "RGB"
    array = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """`(height, width[, 3])` uint8 to `(size, size[, 3])` uint8, antialiased."""
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))
