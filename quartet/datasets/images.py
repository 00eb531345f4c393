"""Images as the pipeline keeps them: one uint8 tensor per split.

`data/processed/images/` holds `{train,validation,test}.safetensors`, each with `images` `(images, channels, size,
size)` uint8 and `labels` `(images,)` int64, and `info.json`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from quartet.artifacts.checksums import sha256_of_folder
from quartet.artifacts.model_store import load_tensors, save_arrays
from quartet.artifacts.writing import read_json, write_json
from quartet.datasets.image_reading import RawImage, read_raw_images
from quartet.datasets.splits import split_examples
from quartet.params.sections import PreprocessImages

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "validation", "test")
MIXED_SIZE = 48  # side that images of different sizes are brought to when no size is set


def preprocess_images(raw: Path, folder: Path, settings: PreprocessImages) -> tuple[dict, list[RawImage]]:
    """Decode, resize, split, measure; returns what `info.json` holds and the first raw training images.

    Raises:
        ValueError: an image is broken, or a class is too small; the message names it.
    """
    manifest = read_json(raw / "manifest.json")
    images = list(read_raw_images(raw, manifest))
    classes = manifest["classes"]
    sides = {image.pixels.shape[:2] for image in images}
    height, width = next(iter(sides))
    own_size = height if len(sides) == 1 and height == width and height >= 8 else MIXED_SIZE
    size = settings.size or own_size
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
    return info, [images[index] for index in splits["train"][:8]]


def mean_and_deviation(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of `(images, channels, height, width)` uint8, in shares of 255.

    Counted by grey level, so that no copy of the images in a larger type is made.
    """
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        counts = sum(np.bincount(image[channel].ravel(), minlength=256) for image in pixels)
        shares = counts / counts.sum()
        mean = float(shares @ levels)
        means.append(round(mean, 6))
        deviations.append(round(max(float(shares @ (levels - mean) ** 2) ** 0.5, 1e-3), 6))
    return means, deviations


def to_square(pixels: np.ndarray, size: int, channels: int) -> np.ndarray:
    """`(height, width[, 3])` uint8 to `(channels, size, size)` uint8: antialiased resize, then grey or RGB."""
    picture = Image.fromarray(pixels)
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    mode = "L" if channels == 1 else "RGB"
    array = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def load_images(folder: Path, split: str) -> tuple["torch.Tensor", "torch.Tensor"]:
    """`images` and `labels` of one split, on the CPU.

    Raises:
        ValueError: the file is missing or broken.
    """
    tensors = load_tensors(folder / f"{split}.safetensors")
    return tensors["images"], tensors["labels"]
