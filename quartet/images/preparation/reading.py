"""Read, decode and check the raw images of any source."""

import contextlib
import csv
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from quartet.artifacts.paths import PICTURE_INDEX

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

WHITE_16 = 65_535  # of 16-bit grey
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
_TURNED = (5, 6, 7, 8)  # orientations in which height and width are exchanged


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
        caption: what it shows, in words.
    """

    name: str
    pixels: np.ndarray
    label: int
    content: str | bytes
    split: str | None = None
    group: str | None = None
    caption: str | None = None


def read_raw_images(
    folder: Path, manifest: Mapping, broken: list[str], only: Collection[str] | None = None
) -> Iterator[RawImage]:
    """Yield every image of the downloaded source, or `only` those with these names.

    Of a user's files that cannot be decoded, the errors are added to `broken`.

    Raises:
        ValueError: a file of a well-known source is broken; the message names it and says what to do.
    """
    source = manifest["source"].partition(":")[0]
    readers = {
        "digits": _digits,
        "mnist": _idx,
        "fashion-mnist": _idx,
        "cifar10": _cifar10,
        "gtsrb": _gtsrb,
    }
    if source not in readers:
        yield from _own_pictures(folder, manifest["classes"], broken, only)
        return
    try:
        yield from (image for image in readers[source](folder) if only is None or image.name in only)
    except (OSError, EOFError, zlib.error, struct.error, IndexError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{folder}: damaged after its download ({error}); `dvc repro --force download@images` downloads it again"
        ) from error


def decode(stream: BinaryIO, name: str) -> np.ndarray:
    """Decode a picture to upright grey or RGB pixels; transparent parts become white.

    The pixels are uint8; grey of more than 8 bits becomes uint16, from black at 0 to white at 65,535.

    Raises:
        ValueError: the file is truncated or no picture, or its format does not say which values are black and white.
    """
    with _errors_of(name), Image.open(stream) as opened:
        picture = _upright(opened)
        if _has_black_and_white(picture.mode, opened.format):
            return _pixels(picture, *_white_and_black(opened))
    raise _no_black_and_white(name, picture.mode)


def read_header(stream: BinaryIO, name: str) -> np.ndarray:
    """What `decode` returns, with all pixels zero, from the header alone.

    Raises:
        ValueError: as `decode`, as far as the header tells.
    """
    with _errors_of(name), Image.open(stream) as opened:
        height, width = opened.height, opened.width
        if "exif" in opened.info and opened.getexif().get(ExifTags.Base.Orientation) in _TURNED:
            height, width = width, height
        if _has_black_and_white(opened.mode, opened.format):
            deep = opened.mode.startswith("I")
            grey = deep or (opened.mode in ("1", "L") and not opened.has_transparency_data)
            return zeros((height, width) if grey else (height, width, 3), np.dtype(np.uint16 if deep else np.uint8))
    raise _no_black_and_white(name, opened.mode)


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A read-only array of zeros that takes the memory of one of them."""
    return np.broadcast_to(np.zeros((), dtype), shape)


@contextlib.contextmanager
def _errors_of(name: str) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise ValueError(f"{name}: is no picture, or of an unknown format") from error
    except Exception as error:  # on damaged files, Pillow's parsers raise exceptions of many types
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{name}: cannot be decoded ({reason})") from error


def _has_black_and_white(mode: str, image_format: str | None) -> bool:
    # Pillow reads 16-bit grey of these formats as 32-bit integers, with white at 65535.
    return mode != "F" and (mode != "I" or image_format in ("PNG", "PPM"))


def _no_black_and_white(name: str, mode: str) -> ValueError:
    kind = "floating-point" if mode == "F" else "32-bit or signed integer"
    return ValueError(
        f"{name}: its pixels are {kind} numbers (mode {mode}), for which black and white are not defined; "
        "save it with 8 or 16 bits per channel"
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


def _pixels(picture: Image.Image, white: int, black: int) -> np.ndarray:
    if picture.mode.startswith("I"):  # grey of more than 8 bits
        shades = np.asarray(picture, np.int64)
        pixels = ((shades - black) * WHITE_16 // (white - black)).clip(0, WHITE_16).astype(np.uint16)
        clear = picture.info.get("transparency")
        return pixels if clear is None else np.where(shades == clear, np.uint16(WHITE_16), pixels)
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        ground = Image.new("RGBA", coloured.size, "white")
        picture = Image.alpha_composite(ground, coloured).convert("RGB")
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))


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
                track = parts[-2] + "/" + parts[-1].partition("_")[0]
                yield RawImage(name, pixels, int(parts[-2]), _checksum(pixels), "train", track)
            elif parts[-1] in test_labels:
                missing.discard("test")
                yield RawImage(name, pixels, test_labels[parts[-1]], _checksum(pixels), "test")
        if missing:
            raise ValueError(f"{path}: holds no {' and no '.join(sorted(missing))} pictures; {_WRONG_GTSRB_LAYOUT}")


def _own_pictures(
    folder: Path, classes: list[str], broken: list[str], only: Collection[str] | None
) -> Iterator[RawImage]:
    """The pictures in the index that `sources/own_pictures.py` writes, in its order."""
    with (folder / PICTURE_INDEX).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if only is not None and row["file"] not in only:
                continue
            try:
                with (folder / "pictures" / row["file"]).open("rb") as stream:
                    pixels = decode(stream, row["file"])
            except ValueError as error:
                broken.append(str(error))
                continue
            yield raw_image(row, pixels, classes)


def raw_image(row: Mapping, pixels: np.ndarray, classes: list[str]) -> RawImage:
    """A picture of a user's and what its `row` of the index says of it."""
    return RawImage(
        row["file"],
        pixels,
        classes.index(row["label"]) if classes else 0,
        row["sha256"],
        row["split"] or None,
        row["group"] or None,
        row["caption"] or None,
    )
