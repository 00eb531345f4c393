"""Turn raw pictures into the images that training reads (`datasets/images.py` describes the format)."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from quartet.artifacts.errors import BadInput, listed
from quartet.artifacts.paths import ATTRIBUTE
from quartet.artifacts.shapes import MANIFEST
from quartet.artifacts.tensor_files import save_rows
from quartet.artifacts.verification import described_files, read_described, restoring, write_described
from quartet.artifacts.writing import write_table
from quartet.datasets.splits import Examples, Splits, split_examples
from quartet.images.preparation.decoding import WHITE_16
from quartet.images.preparation.pixel_file import PixelFile
from quartet.images.preparation.preview import SHOWN, save_preview
from quartet.images.preparation.reading import RawImage, read_raw_images
from quartet.images.preparation.resizing import measure_grey_range, resized, to_square
from quartet.images.settings import PreprocessImages

# Without a size in the settings: the side for images of different sizes or not square, and the largest for square ones.
MIXED_SIZE, LARGEST_SIZE = 48, 96
EMPTY = np.zeros(0, np.uint8)  # in the place of pixels that are in a file


def prepare_images(raw: Path, folder: Path, settings: PreprocessImages) -> dict:
    """Decode, resize and split the images, with few originals in memory at a time; returns the content of `info.json`.

    Raises:
        BadInput: images are broken, or they cannot be split; the message names them.
    """
    manifest = read_described(raw / "manifest.json", MANIFEST["images"], restoring(raw, "download@images"))
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / ".pixels"
    images, size, broken = _read_resized(raw, manifest, settings.size, settings.fit, kept)
    broken.sort()
    refuse_broken(manifest["source"], broken, settings.broken)
    if broken:
        print(f"{_named_broken(manifest['source'], broken)}; left out", flush=True)
    splits = split_images(manifest["source"], manifest["classes"], images, settings)
    splits.print(manifest["source"])
    train = splits.indices["train"]
    grey_range = _grey_range(manifest["source"], [images[index] for index in train])
    channels = settings.channels or (3 if any(image.pixels.ndim == 3 for image in images) else 1)
    labels, levels = np.asarray([image.label for image in images], np.int64), LevelCounts(channels)

    captioned = any(image.captions for image in images)

    def square(index: int) -> np.ndarray:
        return to_square(images[index].pixels, size, channels, settings.fit, grey_range or (0, WHITE_16))

    for name, indices in splits.indices.items():
        rows = levels.counting(map(square, indices)) if name == "train" else map(square, indices)
        shape = (len(indices), channels, size, size)
        save_rows(folder / f"{name}.safetensors", "images", rows, shape, {"labels": labels[indices]})
        if captioned:
            _write_captions(folder / f"{name}.csv", [images[index] for index in indices])
    shown = train[np.unique(np.linspace(0, len(train) - 1, SHOWN).round().astype(int))]
    prepared = np.stack([square(index) for index in shown])
    kept.unlink()
    mean, std = levels.mean_and_deviation()
    info = {
        "source": manifest["source"],
        "classes": manifest["classes"],
        "caption_subject": manifest["caption_subject"],
        "size": size,
        "channels": channels,
        "fit": settings.fit,
        "mean": mean,
        "std": std,
        **({"grey_range": grey_range} if grey_range else {}),
        **(_described_captions(manifest, images, train) if captioned else {}),
        "counts": {name: len(indices) for name, indices in splits.indices.items()},
        "splits": splits.report,
        "left_out": {**manifest.get("left_out", {}), **({"broken": broken} if broken else {})},
        **described_files(folder),
    }
    write_described(folder / "info.json", info)
    save_preview(folder / "preview.png", raw, manifest, [images[index] for index in shown], prepared)
    return info


def refuse_broken(source: str, broken: Sequence[str], what_to_do: str) -> None:
    """Raise BadInput that names all `broken` pictures, unless the settings leave them out."""
    if broken and what_to_do == "error":
        raise BadInput(
            f"{_named_broken(source, broken)}. Replace or remove the files and run "
            "`dvc repro --force download@images`, or leave them out with preprocess.images.broken = skip"
        )


def _named_broken(source: str, broken: Sequence[str]) -> str:
    return f"{source}: {len(broken)} broken picture{'s' * (len(broken) > 1)}: {listed(broken, '; ')}"


def split_images(source: str, classes: Sequence[str], images: Sequence[RawImage], settings: PreprocessImages) -> Splits:
    """Split images by the rule of `datasets/splits.py`.

    Raises:
        BadInput: they cannot be split.
    """
    examples = Examples(
        labels=[image.label for image in images],
        classes=classes or [""],
        names=[image.name for image in images],
        own=[image.split for image in images],
        groups=[image.group for image in images] if any(image.group for image in images) else None,
        contents=[image.content for image in images],
    )
    try:
        return split_examples(examples, settings.splits, settings.validation, settings.split_seed)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error


def _grey_range(source: str, train: Sequence[RawImage]) -> tuple[int, int] | None:
    """The range of 16-bit grey in the training pictures; None without such pictures."""
    pictures = [image.pixels for image in train if image.pixels.dtype == np.uint16]
    if not pictures:
        return None
    black, white = measure_grey_range(pictures)
    print(f"{source}: 16-bit pictures; {black:,} becomes black and {white:,} white, as in training", flush=True)
    if len(pictures) < len(train):
        print(
            f"{source}: {len(pictures):,} of {len(train):,} training pictures have 16 bits, the others 8, which keep "
            "their brightness; if the classes differ in that, a network learns it: convert them alike",
            flush=True,
        )
    return black, white


def _write_captions(path: Path, images: Sequence[RawImage]) -> None:
    rows = [
        {
            "file": image.name,
            "caption": "\n".join(image.captions),
            **{f"{ATTRIBUTE}{name}": value for name, value in image.attributes.items()},
        }
        for image in images
    ]
    write_table(path, pd.DataFrame(rows))


def _described_captions(manifest: Mapping, images: Sequence[RawImage], train: np.ndarray) -> dict:
    """The number of training captions and one of them; the values of attributes, and which make compositions."""
    names = sorted({name for image in images for name in image.attributes})
    values = {name: sorted({image.attributes[name] for image in images}) for name in names}
    return {
        "captions": {
            "train": sum(len(images[index].captions) for index in train),
            "example": next((images[index].captions[0] for index in train if images[index].captions), ""),
        },
        **({} if len(manifest["classes"]) > 1 else {"task": "captions"}),
        **({"attributes": values} if values else {}),
        **({"compositions": manifest["compositions"]} if "compositions" in manifest else {}),
    }


def _read_resized(
    raw: Path, manifest: dict, size: int | None, fit: str, kept: Path
) -> tuple[list[RawImage], int, list[str]]:
    """All images, resized to `size`, still grey or RGB and of 8 or 16 bits as in the source; size; what is broken.

    Their pixels are in the file `kept`, and in memory while they are used.

    Without a `size`, square images of one size keep it, up to `LARGEST_SIZE`; all others become `MIXED_SIZE`.
    """
    images: list[RawImage] = []
    broken: list[str] = []
    pixels, shared = PixelFile(kept), None
    for image in read_raw_images(raw, manifest, broken):
        height, width = image.pixels.shape[:2]
        if size is None:
            shared = height, width
            size = size_of_all({shared})
        elif shared not in (None, (height, width)) and size != MIXED_SIZE:
            # Start again from the originals: resizing an image twice gives another result.
            pixels.close()
            return _read_resized(raw, manifest, MIXED_SIZE, fit, kept)
        pixels.append(resized(image.pixels, size, fit))
        images.append(dataclasses.replace(image, pixels=EMPTY))
    images = [dataclasses.replace(image, pixels=each) for image, each in zip(images, pixels.close(), strict=True)]
    if shared and size == LARGEST_SIZE < shared[0]:
        print(
            f"{manifest['source']}: images of {shared[0]}×{shared[0]} are resized to {size}×{size}; "
            "set preprocess.images.size for another size",
            flush=True,
        )
    return images, size or MIXED_SIZE, broken  # `size` is still None if there are no images


def size_of_all(shapes: Collection[tuple[int, ...]]) -> int:
    """The side that images of these heights and widths get where the settings name none."""
    height, width = next(iter(shapes))
    return min(height, LARGEST_SIZE) if len(shapes) == 1 and height == width and height >= 8 else MIXED_SIZE


class LevelCounts:
    """How often each of the 256 levels occurs in images: their mean and deviation, without a copy of the images."""

    def __init__(self, channels: int):
        self.counts = np.zeros((channels, 256), np.int64)

    def counting(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass images `(channels, height, width)` uint8 on, and count their levels."""
        for image in images:
            for channel, levels in enumerate(image):
                self.counts[channel] += np.bincount(levels.ravel(), minlength=256)
            yield image

    def mean_and_deviation(self) -> tuple[list[float], list[float]]:
        """Of each channel, as shares of 255."""
        levels = np.arange(256) / 255
        means, deviations = [], []
        for counts in self.counts:
            shares = counts / counts.sum()
            mean = float(shares @ levels)
            means.append(round(mean, 6))
            deviations.append(round(max(float(shares @ (levels - mean) ** 2) ** 0.5, 1e-3), 6))
        return means, deviations
