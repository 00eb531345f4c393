"""Pictures of every format and mode are decoded to what one sees, or named."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from own_pictures import bring, draw, own_folder, prepare
from PIL import Image, ImageOps

from quartet.images.preparation import parallel_decoding, prepare_images
from quartet.images.preparation.decoding import decode
from quartet.images.settings import PreprocessImages


def test_pictures_of_every_mode_are_decoded_to_what_one_sees():
    def decoded(picture, kind="PNG", **how):
        stream = io.BytesIO()
        picture.save(stream, kind, **how)
        return decode(stream, "picture")

    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    colour = np.random.default_rng(0).integers(0, 255, (3, 4, 3), np.uint8)
    np.testing.assert_array_equal(decoded(Image.fromarray(grey)), grey)
    np.testing.assert_array_equal(decoded(Image.fromarray(colour)), colour)
    np.testing.assert_array_equal(decoded(Image.fromarray(grey.astype(np.uint16) * 257)), grey * np.uint16(257))
    np.testing.assert_array_equal(decoded(Image.fromarray(grey > 100)), np.where(grey > 100, 255, 0))

    palette = Image.fromarray(grey // 20).convert("P")
    palette.putpalette([value for number in range(12) for value in (number, 2 * number, 255 - number)])
    seen = decoded(palette)
    np.testing.assert_array_equal(seen, np.stack([grey // 20, grey // 10, 255 - grey // 20], axis=2))

    opacity = np.full((3, 4, 1), 255, np.uint8)
    opacity[0] = 0
    clear = decoded(Image.fromarray(np.concatenate([colour, opacity], axis=2)))
    assert (clear[0] == 255).all() and (clear[1:] == colour[1:]).all()  # on white

    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    np.testing.assert_array_equal(decoded(Image.fromarray(colour), exif=exif), np.rot90(colour, -1))


@pytest.mark.parametrize(("kind", "mode"), [(np.float32, "F"), (np.int32, "I")])
def test_numbers_without_a_known_white_are_refused(tmp_path, kind, mode):
    for number in range(6):
        draw(tmp_path / f"own/{number % 2}/{number}.png")
    Image.fromarray(np.ones((4, 4), kind)).save(tmp_path / "own/1/heights.tif")
    with pytest.raises(ValueError, match=rf"1/heights\.tif: .*\(mode {mode}\).*save it with 8 or 16 bits"):
        prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")


@pytest.mark.parametrize("kind", ["PNG", "PPM", "TIFF", "JPEG2000"])
def test_grey_of_16_bits_is_decoded_whatever_mode_it_has(kind):
    grey, stream = np.arange(32, dtype=np.uint8).reshape(4, 8) * 8, io.BytesIO()
    Image.fromarray(grey.astype(np.uint16) * 257).save(stream, kind)
    np.testing.assert_array_equal(decode(stream, "picture"), grey * np.uint16(257))


def tiff(rows, bits, white_is_zero=False):
    """Grey, uncompressed, of 12 or 16 bits; by hand, as Pillow writes neither 12 bits nor 0 for white."""
    if bits == 16:
        data = rows.astype("<u2").tobytes()
    else:
        digits = "".join(f"{value:012b}" for value in rows.ravel())
        data = bytes(int(digits[start : start + 8], 2) for start in range(0, len(digits), 8))
    height, width = rows.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: int(not white_is_zero), 273: 8}
    tags |= {277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(("bits", "white_is_zero"), [(12, False), (16, False), (16, True)])  # Pillow opens no others
def test_a_tiff_says_how_many_bits_it_has_and_what_is_white(bits, white_is_zero):
    grey = np.arange(32).reshape(4, 8) * 8
    stored = grey * (2**bits - 1) // 255
    stored = 2**bits - 1 - stored if white_is_zero else stored
    seen = decode(io.BytesIO(tiff(stored, bits, white_is_zero)), "picture")
    assert seen.dtype == np.uint16
    assert abs(seen / 257 - grey).max() <= 1  # of 255, as 12 bits are no multiple of 8


def test_grey_of_16_bits_with_a_transparent_value_is_laid_on_white():
    grey, stream = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, io.BytesIO()
    Image.fromarray(grey.astype(np.uint16) * 257).save(stream, "PNG", transparency=100 * 257)
    np.testing.assert_array_equal(decode(stream, "picture"), np.where(grey == 100, 255, grey) * np.uint16(257))


def test_a_png_that_is_opened_as_32_bit_integers_has_16_bits(monkeypatch):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    opened = Image.fromarray(grey.astype(np.int32) * 257)
    opened.format = "PNG"
    monkeypatch.setattr(Image, "open", lambda _: opened)
    np.testing.assert_array_equal(decode(io.BytesIO(), "picture"), grey * np.uint16(257))


def exif_of(orientation, x_resolution):
    """Big-endian EXIF whose XResolution, a fraction by the standard, is ASCII of up to three letters."""
    tags = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(">HHI4s", 0x011A, 2, 4, x_resolution)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + tags + bytes(4)


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 have no meaning
def test_a_malformed_exif_tag_does_not_keep_a_picture_from_being_turned(orientation):
    grey = Image.fromarray(np.arange(16 * 24, dtype=np.uint8).reshape(16, 24))
    malformed, well_formed, exif = io.BytesIO(), io.BytesIO(), Image.Exif()
    grey.save(malformed, "JPEG", exif=exif_of(orientation, b"72"))
    exif[0x0112] = orientation
    grey.save(well_formed, "JPEG", exif=exif)
    with Image.open(well_formed) as picture:
        np.testing.assert_array_equal(decode(malformed, "picture"), np.asarray(ImageOps.exif_transpose(picture)))


@pytest.mark.parametrize("kind", [TypeError, struct.error, KeyError, IndexError, EOFError, zlib.error, SyntaxError])
def test_whatever_fails_in_decoding_the_picture_is_named(monkeypatch, kind):
    def fail(_):
        raise kind("reason")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ValueError, match=r"pictures/1\.png: cannot be decoded \(.*reason"):
        decode(io.BytesIO(), "pictures/1.png")


@pytest.mark.parametrize("kept", [300, -200])  # not even the header, and all but the last rows
def test_a_truncated_picture_is_named(tmp_path, kept):
    own = own_folder(tmp_path)
    broken = own / "dög/turned.jpg"
    broken.write_bytes(broken.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"dög/turned\.jpg: cannot be decoded .*Replace or remove the files"):
        prepare(tmp_path, images=f"folder:{own}")


def test_a_picture_that_cannot_be_decoded_is_named_where_the_user_has_it(tmp_path):
    own = own_folder(tmp_path)
    (own / "dög/empty.png").write_bytes(b"")
    message = (
        rf"^folder:{re.escape(str(own))}: .*dög/empty\.png: .*remove the files and run `dvc repro --force download@"
    )
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, images=f"folder:{own}")


def test_many_pictures_are_decoded_on_all_cores_in_their_order(tmp_path, monkeypatch):
    contents = []
    for number in range(5):
        draw(tmp_path / f"{number}.png", "RGB", (7 + number, 6), seed=number)
        contents.append((f"{number}.png", (tmp_path / f"{number}.png").read_bytes()))
    contents.insert(3, ("broken.png", b"no picture"))
    monkeypatch.setattr(parallel_decoding, "CHUNK", 2)
    monkeypatch.setattr(parallel_decoding, "usable_cores", lambda: 2)
    found = list(parallel_decoding.decode_all(iter(contents)))
    assert found.pop(3) == "broken.png: is no picture, or of an unknown format" and len(found) == 5
    for number, pixels in enumerate(found):
        assert np.array_equal(pixels, np.asarray(Image.open(tmp_path / f"{number}.png")))


def test_few_pictures_are_decoded_ahead_and_a_reader_may_stop(tmp_path, monkeypatch):
    draw(tmp_path / "a.png", "RGB", (40, 40), seed=0)
    content, given = (tmp_path / "a.png").read_bytes(), []
    monkeypatch.setattr(parallel_decoding, "CHUNK", 2)
    monkeypatch.setattr(parallel_decoding, "usable_cores", lambda: 2)
    decoded = parallel_decoding.decode_all((given.append(number) or f"{number}.png", content) for number in range(400))
    next(decoded)
    decoded.close()
    assert len(given) <= 12


def test_pictures_that_were_damaged_after_their_copy_are_said(tmp_path):
    for number in range(6):
        draw(tmp_path / f"own/{number % 2}/{number}.png", seed=number)
    bring(tmp_path / "raw", f"folder:{tmp_path / 'own'}")
    archive = tmp_path / "raw/pictures.zip"
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"pictures.zip: expected sha256 .* damaged since .*download@images"):
        prepare_images(tmp_path / "raw", tmp_path / "processed", PreprocessImages())
