"""Read, decode and check the raw images of any source."""

import csv
import gzip
import hashlib
import io
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.progress import track

from quartet.artifacts.paths import ATTRIBUTE, PICTURE_INDEX, PICTURES
from quartet.images.preparation.decoding import decode
from quartet.images.preparation.parallel_decoding import decode_all

MANY = 2_000  # pictures from which a progress bar is shown


@dataclass(frozen=True)
class RawImage:
    """One decoded image and what the source says of it.

    Attributes:
        name: how messages call it.
        pixels: `(height, width)` for grey or `(height, width, 3)` for RGB, uint8; uint16 for grey of more than 8 bits.
        label: number of its class; 0 if there are no classes.
        content: equal for exact copies.
        split: `train`, `validation` or `test` if the source says so.
        group: images of one group show the same thing and must stay in one split.
        captions: what it shows, in words, each time in others.
        attributes: what else is known of what it shows, by name.
    """

    name: str
    pixels: np.ndarray
    label: int
    content: str | bytes
    split: str | None = None
    group: str | None = None
    captions: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_raw_images(
    folder: Path, manifest: Mapping, broken: list[str], only: Collection[str] | None = None
) -> Iterator[RawImage]:
    """Yield every image of the downloaded source, or `only` those with these names.

    Of a user's files that cannot be decoded, the errors are added to `broken`.

    Raises:
        ValueError: a file that was downloaded or copied is damaged; the message says what to do.
    """
    source = manifest["source"].partition(":")[0]
    readers = {
        "digits": _digits,
        "mnist": _idx,
        "fashion-mnist": _idx,
        "cifar10": _cifar10,
        "gtsrb": _gtsrb,
    }
    try:
        if source in readers:
            yield from (image for image in readers[source](folder) if only is None or image.name in only)
        else:
            yield from _own_pictures(folder, manifest["classes"], broken, only)
    except (OSError, EOFError, zlib.error, struct.error, IndexError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{folder}: damaged after its download ({error}); `dvc repro --force download@images` downloads it again"
        ) from error


def _checksum(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def _digits(folder: Path) -> Iterator[RawImage]:
    with gzip.open(folder / "digits.csv.gz", "rt") as lines:
        table = np.loadtxt(lines, delimiter=",")
    for number, row in enumerate(table):
        pixels = np.round(row[:64].reshape(8, 8) * (255 / 16)).astype(np.uint8)  # values are 0 to 16
        yield RawImage(f"digits.csv row {number + 1}", pixels, int(row[64]), _checksum(pixels))


def _idx(folder: Path) -> Iterator[RawImage]:
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        if len(images) != len(labels):
            raise ValueError(f"{folder}: {len(images)} {split} images but {len(labels)} labels; download them again")
        for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            yield RawImage(f"{prefix} image {number}", pixels, int(label), _checksum(pixels), split)


def _read_idx(path: Path) -> np.ndarray:
    with gzip.open(path, "rb") as stream:
        dimensions = stream.read(4)[3]
        shape = struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))
        return np.frombuffer(stream.read(), np.uint8).reshape(shape)


def _cifar10(folder: Path) -> Iterator[RawImage]:
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "r:gz") as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            file_name = Path(member.name).name
            if not file_name.endswith("_batch.bin") and not file_name.startswith("data_batch"):
                continue
            batch = archive.extractfile(member)
            if batch is None:  # a folder
                continue
            records = np.frombuffer(batch.read(), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
            split = "test" if file_name.startswith("test") else "train"
            for number, record in enumerate(records):
                pixels = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
                yield RawImage(f"{file_name} record {number}", pixels, int(record[0]), _checksum(pixels), split)


_GTSRB_CLASSES = 43
_WRONG_GTSRB_LAYOUT = "it is not the GTSRB layout that torchvision reads"


def _gtsrb(folder: Path) -> Iterator[RawImage]:
    path = folder / "gtsrb.zip"
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        answers = [name for name in names if name.endswith("GT-final_test.csv")]
        if not answers:
            raise ValueError(f"{path}: holds no GT-final_test.csv; {_WRONG_GTSRB_LAYOUT}")
        test_labels = _gtsrb_answers(f"{path}: {answers[0]}", archive.read(answers[0]))
        missing = {"training", "test"}
        for name in names:
            parts = Path(name).parts
            if not name.endswith(".ppm"):
                continue
            pixels = decode(io.BytesIO(archive.read(name)), f"{path}: {name}")
            if not {"Training", "Final_Training"}.isdisjoint(parts):
                # Files are CLASS/TRACK_FRAME.ppm; a track is one physical sign.
                missing.discard("training")
                track = parts[-2] + "/" + parts[-1].partition("_")[0]
                label = _gtsrb_class(f"{path}: {name}", "the folder", parts[-2])
                yield RawImage(name, pixels, label, _checksum(pixels), "train", track)
            elif parts[-1] in test_labels:
                missing.discard("test")
                yield RawImage(name, pixels, test_labels[parts[-1]], _checksum(pixels), "test")
        if missing:
            raise ValueError(f"{path}: holds no {' and no '.join(sorted(missing))} pictures; {_WRONG_GTSRB_LAYOUT}")


def _gtsrb_answers(where: str, content: bytes) -> dict[str, int]:
    """The class of each test picture by its file name."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise ValueError(f"{where}: byte {error.start} ({byte:#04x}) is not UTF-8; {_WRONG_GTSRB_LAYOUT}") from error
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";")
    try:
        missing = sorted({"Filename", "ClassId"} - set(rows.fieldnames or ()))
        if missing:
            raise ValueError(f"{where}: has no column {' and no '.join(missing)}; {_WRONG_GTSRB_LAYOUT}")
        return {
            row["Filename"]: _gtsrb_class(f"{where}: row {rows.line_num}", "ClassId", row["ClassId"]) for row in rows
        }
    except csv.Error as error:
        raise ValueError(f"{where}: row {rows.line_num}: {error}; {_WRONG_GTSRB_LAYOUT}") from error


def _gtsrb_class(where: str, what: str, text: str | None) -> int:
    """The number of a class, which is one of 43."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) >= _GTSRB_CLASSES:
        raise ValueError(
            f"{where}: {what}: found {text!r}, allowed is 0 to {_GTSRB_CLASSES - 1}; {_WRONG_GTSRB_LAYOUT}"
        )
    return int(text)


def _own_pictures(
    folder: Path, classes: list[str], broken: list[str], only: Collection[str] | None
) -> Iterator[RawImage]:
    """The pictures in the index that `picture_folders/own_pictures.py` writes, in its order."""
    with (folder / PICTURE_INDEX).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if only is None or row["file"] in only]
    with zipfile.ZipFile(folder / PICTURES) as archive:
        files = ((row["file"], archive.read(row["file"])) for row in rows)
        decoded = track(decode_all(files), "preparing pictures", len(rows), disable=_hides_bar(len(rows)))
        for row, pixels in zip(rows, decoded, strict=True):
            if isinstance(pixels, str):
                broken.append(pixels)
            else:
                yield raw_image(row, pixels, classes)


def _hides_bar(count: int) -> bool:
    return count < MANY or not sys.stdout.isatty()


def raw_image(row: Mapping, pixels: np.ndarray, classes: list[str]) -> RawImage:
    """A picture of a user's and what its `row` of the index says of it."""
    return RawImage(
        row["file"],
        pixels,
        classes.index(row["label"]) if classes else 0,
        row["sha256"],
        row["split"] or None,
        row["group"] or None,
        tuple((row["caption"] or "").splitlines()),
        {name.removeprefix(ATTRIBUTE): value for name, value in row.items() if name.startswith(ATTRIBUTE)},
    )
