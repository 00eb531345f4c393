"""Turn raw pictures into the images that training reads (`datasets/images.py` describes the format)."""

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

# Without a size in the settings: the side for images of different sizes or not square, and the largest for square ones.
MIXED_SIZE, LARGEST_SIZE = 48, 96


def prepare_images(raw: Path, folder: Path, settings: PreprocessImages) -> dict:
    """Decode, resize and split the images, with one original in memory at a time; returns the content of `info.json`.

    Raises:
        ValueError: an image is broken, or a class has too few images; the message names it.
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
    """Read all images, resized to `size`, still grey or RGB as in the source.

    Without a `size`, square images of one size keep it, up to `LARGEST_SIZE`; all others become `MIXED_SIZE`.
    """
    images: list[RawImage] = []
    shared = None
    for image in read_raw_images(raw, manifest):
        height, width = image.pixels.shape[:2]
        if size is None:
            shared = height, width
            size = min(height, LARGEST_SIZE) if height == width and height >= 8 else MIXED_SIZE
        elif shared not in (None, (height, width)) and size != MIXED_SIZE:
            # Start again from the originals: resizing an image twice gives another result.
            return _read_resized(raw, manifest, MIXED_SIZE)
        images.append(dataclasses.replace(image, pixels=_resized(image.pixels, size)))
    if shared and size == LARGEST_SIZE < shared[0]:
        print(
            f"{manifest['source']}: images of {shared[0]}×{shared[0]} are resized to {size}×{size}; "
            "set preprocess.images.size for another size",
            flush=True,
        )
    return images, size or MIXED_SIZE  # `size` is still None if there are no images


def mean_and_deviation(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of `(images, channels, height, width)` uint8, as shares of 255.

    Computed from counts of the 256 levels, which needs no copy of the images in a larger type.
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
    """Resize `(height, width[, 3])` uint8 with antialiasing and make it grey or RGB, `(channels, size, size)` uint8."""
    picture = Image.fromarray(_resized(pixels, size))
    mode = "L" if channels == 1 else "RGB"
    array = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """`(height, width[, 3])` uint8 to `(size, size[, 3])` uint8, antialiased."""
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))
