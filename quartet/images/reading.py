"""Read, decode and check the raw images of any source."""

import csv
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from PIL import ExifTags, Image

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

# The transpose that turns a picture upright, by its EXIF orientation; 1 is upright already.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class RawImage:
    """One decoded image.

    `pixels` is uint8, `(height, width)` for grey or `(height, width, 3)` for RGB. `official_split` is `train` or
    `test` if the source has such splits. Images of one `track` show the same object and must stay in one split.
    """

    name: str
    pixels: np.ndarray
    label: int
    official_split: str | None = None
    track: str | None = None


def read_raw_images(folder: Path, manifest: dict) -> Iterator[RawImage]:
    """Yield every image of the downloaded source.

    Raises:
        ValueError: an image or file is broken; the message names it and says what to do.
    """
    source, _, own = manifest["source"].partition(":")
    readers = {
        "digits": _digits,
        "mnist": _idx,
        "fashion-mnist": _idx,
        "cifar10": _cifar10,
        "gtsrb": _gtsrb,
    }
    if source == "folder":
        try:
            yield from _pictures(folder / "pictures", manifest["classes"], Path(own))
        except ValueError as error:
            raise ValueError(f"{error}; then run `dvc repro --force download@images`") from error
        return
    try:
        yield from readers[source](folder)
    except (OSError, EOFError, zlib.error, struct.error, IndexError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{folder}: damaged after its download ({error}); `dvc repro --force download@images` downloads it again"
        ) from error


def decode(stream: BinaryIO, name: str) -> np.ndarray:
    """Decode a picture to upright, 8-bit, grey or RGB pixels; transparent parts become white.

    Raises:
        ValueError: the file is truncated or no picture, or its format does not say which values are black and white.
    """
    try:
        with Image.open(stream) as opened:
            picture = _upright(opened)
            # Pillow reads 16-bit grey of these formats as 32-bit integers, with white at 65535.
            if picture.mode != "F" and (picture.mode != "I" or opened.format in ("PNG", "PPM")):
                return _eight_bits(picture, *_white_and_black(opened))
    except Exception as error:  # on damaged files, Pillow's parsers raise exceptions of many types
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{name}: cannot be decoded ({reason}); replace or remove the file") from error
    kind = "floating-point" if picture.mode == "F" else "32-bit or signed integer"
    raise ValueError(
        f"{name}: its pixels are {kind} numbers (mode {picture.mode}), for which black and white are not defined; "
        "save it with 8 or 16 bits per channel, or remove the file"
    )


def _upright(opened: Image.Image) -> Image.Image:
    opened.load()  # some formats store the orientation after the pixels
    # Not `ImageOps.exif_transpose`: it also rewrites the EXIF data, which fails if any other tag is malformed.
    orientation = opened.getexif().get(ExifTags.Base.Orientation)
    return opened.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else opened


def _white_and_black(opened: Image.Image) -> tuple[int, int]:
    """The values of white and black in a grey picture of more than 8 bits; a TIFF's tags define them."""
    if opened.format != "TIFF":
        return 65535, 0
    tags = cast("TiffImageFile", opened).tag_v2
    brightest = 2 ** tags.get(ExifTags.Base.BitsPerSample, (16,))[0] - 1
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
    return (0, brightest) if white_is_zero else (brightest, 0)


def _eight_bits(picture: Image.Image, white: int, black: int) -> np.ndarray:
    if picture.mode.startswith("I"):  # grey of more than 8 bits
        shades = np.asarray(picture, np.int64)
        eight = ((shades - black) * 255 // (white - black)).clip(0, 255).astype(np.uint8)
        clear = picture.info.get("transparency")
        return eight if clear is None else np.where(shades == clear, np.uint8(255), eight)
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        ground = Image.new("RGBA", coloured.size, "white")
        picture = Image.alpha_composite(ground, coloured).convert("RGB")
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))


def _digits(folder: Path) -> Iterator[RawImage]:
    with gzip.open(folder / "digits.csv.gz", "rt") as lines:
        table = np.loadtxt(lines, delimiter=",")
    for number, row in enumerate(table):
        pixels = np.round(row[:64].reshape(8, 8) * (255 / 16)).astype(np.uint8)  # values are 0 to 16
        yield RawImage(f"digits.csv row {number + 1}", pixels, int(row[64]))


def _idx(folder: Path) -> Iterator[RawImage]:
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        if len(images) != len(labels):
            raise ValueError(f"{folder}: {len(images)} {split} images but {len(labels)} labels; download them again")
        for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            yield RawImage(f"{prefix} image {number}", pixels, int(label), split)


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
                yield RawImage(f"{file_name} record {number}", pixels, int(record[0]), split)


_WRONG_GTSRB_LAYOUT = "it is not the GTSRB layout that torchvision reads"


def _gtsrb(folder: Path) -> Iterator[RawImage]:
    path = folder / "gtsrb.zip"
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        answers = [name for name in names if name.endswith("GT-final_test.csv")]
        if not answers:
            raise ValueError(f"{path}: holds no GT-final_test.csv; {_WRONG_GTSRB_LAYOUT}")
        rows = csv.DictReader(io.StringIO(archive.read(answers[0]).decode()), delimiter=";")
        test_labels = {row["Filename"]: int(row["ClassId"]) for row in rows}
        missing = {"training", "test"}
        for name in names:
            parts = Path(name).parts
            if not name.endswith(".ppm"):
                continue
            pixels = decode(io.BytesIO(archive.read(name)), f"{path}: {name}")
            if not {"Training", "Final_Training"}.isdisjoint(parts):
                # Files are CLASS/TRACK_FRAME.ppm; a track is one physical sign.
                missing.discard("training")
                yield RawImage(name, pixels, int(parts[-2]), "train", parts[-2] + "/" + parts[-1].partition("_")[0])
            elif parts[-1] in test_labels:
                missing.discard("test")
                yield RawImage(name, pixels, test_labels[parts[-1]], "test")
        if missing:
            raise ValueError(f"{path}: holds no {' and no '.join(sorted(missing))} pictures; {_WRONG_GTSRB_LAYOUT}")


def _pictures(folder: Path, classes: list[str], own: Path) -> Iterator[RawImage]:
    """Read the copies in `folder`; an error names the original in `own`, which the user has to fix."""
    for label, name in enumerate(classes):
        for path in sorted(path for path in (folder / name).rglob("*") if path.is_file()):
            relative = path.relative_to(folder)
            with path.open("rb") as stream:
                pixels = decode(stream, str(own / relative))
            yield RawImage(relative.as_posix(), pixels, label)
