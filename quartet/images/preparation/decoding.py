"""Decode picture files of any format to upright grey or RGB pixels."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

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
    mode = "L" if picture.mode in ("1", "L") else "RGB"
    return np.asarray(picture if picture.mode == mode else picture.convert(mode))
