"""Images: sources, decoding, splits, augmentation, batches, captions, sequences."""

import dataclasses
import gzip
import io
import itertools
import os
import re
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from quartet.artifacts.fetching import FetchError
from quartet.artifacts.writing import write_json
from quartet.datasets.augment import adjust_brightness, adjust_contrast, affine, augment, cut_out
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.captions import TEMPLATES, UNSEEN_TEMPLATES, Captioner, UnknownWordError, captioner, split_words
from quartet.datasets.class_names import TRAFFIC_SIGNS
from quartet.datasets.image_reading import decode, read_raw_images
from quartet.datasets.image_sources import PICTURES, download_images
from quartet.datasets.images import load_images, preprocess_images
from quartet.params.sections import Augmentation, Download, PreprocessImages

MIRROR = Path(__file__).parents[2] / "../shared/data"


def prepare(tmp_path, settings=None, **download):
    raw, folder = tmp_path / "raw", tmp_path / "processed"
    manifest = download_images(Download(**download), raw)
    write_json(raw / "manifest.json", manifest)
    return preprocess_images(raw, folder, settings or PreprocessImages())[0], folder


def test_digits_are_split_70_10_20_by_class(tmp_path):
    info, folder = prepare(tmp_path)
    assert info["counts"] == {"train": 1259, "validation": 179, "test": 359}
    shares = []
    for split in ("train", "validation", "test"):
        images, labels = load_images(folder, split)
        assert images.dtype == torch.uint8 and images.shape[1:] == (1, 8, 8) and images.max() == 255
        shares.append(torch.bincount(labels, minlength=10) / len(labels))
    assert max((share - shares[0]).abs().max() for share in shares) < 0.01
    train = load_images(folder, "train")[0].double() / 255
    assert info["mean"] == [pytest.approx(train.mean().item(), abs=1e-6)]


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


def test_a_users_folder_of_mixed_pictures_works(tmp_path):
    own = own_folder(tmp_path)
    (own / "a cat/notes.txt").write_text("not a picture")
    info, folder = prepare(tmp_path, images=f"folder:{own}")
    assert info["classes"] == ["a cat", "dög"] and info["size"] == 48 and info["channels"] == 3
    assert sum(info["counts"].values()) == 12
    assert load_images(folder, "train")[0].shape[1:] == (3, 48, 48)


@pytest.mark.parametrize("size", [None, 32])
def test_originals_are_not_in_memory_all_at_once(tmp_path, size):
    own = tmp_path / "own"
    for number in range(20):
        draw(own / f"class {number % 2}/{number}.ppm", "RGB", (1000, 700 + number))
    raw = tmp_path / "raw"
    write_json(raw / "manifest.json", download_images(Download(images=f"folder:{own}"), raw))
    tracemalloc.start()
    try:
        _, originals, squares = preprocess_images(raw, tmp_path / "processed", PreprocessImages(size=size))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 1000 * 720 * 3, "room for six originals, of twenty"
    assert len(originals) == len(squares) == 8 and max(originals[0].shape) == 256
    assert np.array_equal(squares, load_images(tmp_path / "processed", "train")[0][:8])


@pytest.mark.parametrize("sides", [[(30, 30), (30, 30), (31, 31)], [(30, 30), (30, 20)], [(48, 48), (20, 20)]])
def test_pictures_of_different_sizes_are_each_resized_once(tmp_path, sides):
    own = tmp_path / "own"
    for label in ("first", "second"):
        for number in range(12):
            draw(own / f"{label}/{number:02d}.png", "RGB", sides[min(number // 2, len(sides) - 1)], seed=number)
    info, folder = prepare(tmp_path, images=f"folder:{own}")
    assert info["size"] == 48
    found = {image.numpy().tobytes() for split in info["counts"] for image in load_images(folder, split)[0]}
    with_one_resize = set()
    for path in own.rglob("*.png"):
        with Image.open(path) as picture:
            square = np.asarray(picture.resize((48, 48), Image.Resampling.BICUBIC))
        with_one_resize.add(np.ascontiguousarray(square.transpose(2, 0, 1)).tobytes())
    assert found == with_one_resize


@pytest.mark.parametrize(
    ("size", "side", "setting", "said"),
    [
        ((96, 96), 96, None, ""),
        ((97, 97), 96, None, "images of 97×97 are brought to 96×96; another side is set by preprocess.images.size"),
        ((97, 97), 97, 97, ""),
        ((97, 98), 48, None, ""),
    ],
)
def test_large_square_pictures_are_brought_to_96_if_no_size_is_set(tmp_path, capsys, size, side, setting, said):
    for number in range(6):
        draw(tmp_path / f"own/{number % 2}/{number}.png", "L", size)
    info, folder = prepare(tmp_path, PreprocessImages(size=setting), images=f"folder:{tmp_path / 'own'}")
    assert info["size"] == side and load_images(folder, "train")[0].shape[1:] == (1, side, side)
    printed = capsys.readouterr().out
    assert said in printed and ("brought" in printed) == bool(said)


def test_pictures_of_every_mode_are_decoded_to_what_one_sees():
    def decoded(picture, kind="PNG", **how):
        stream = io.BytesIO()
        picture.save(stream, kind, **how)
        return decode(stream, "picture")

    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    colour = np.random.default_rng(0).integers(0, 255, (3, 4, 3), np.uint8)
    np.testing.assert_array_equal(decoded(Image.fromarray(grey)), grey)
    np.testing.assert_array_equal(decoded(Image.fromarray(colour)), colour)
    np.testing.assert_array_equal(decoded(Image.fromarray(grey.astype(np.uint16) * 257)), grey)
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
    np.testing.assert_array_equal(decode(stream, "picture"), grey)


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
    seen = decode(io.BytesIO(tiff(stored, bits, white_is_zero)), "picture").astype(int)
    assert abs(seen - grey).max() <= 1  # of 255, as 12 bits are no multiple of 8


def test_grey_of_16_bits_with_a_transparent_value_is_laid_on_white():
    grey, stream = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, io.BytesIO()
    Image.fromarray(grey.astype(np.uint16) * 257).save(stream, "PNG", transparency=100 * 257)
    np.testing.assert_array_equal(decode(stream, "picture"), np.where(grey == 100, 255, grey))


def test_a_png_that_is_opened_as_32_bit_integers_has_16_bits(monkeypatch):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    opened = Image.fromarray(grey.astype(np.int32) * 257)
    opened.format = "PNG"
    monkeypatch.setattr(Image, "open", lambda _: opened)
    np.testing.assert_array_equal(decode(io.BytesIO(), "picture"), grey)


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
    with pytest.raises(
        ValueError, match=r"pictures/1\.png: cannot be decoded \(.*reason.*; replace or remove the file"
    ):
        decode(io.BytesIO(), "pictures/1.png")


@pytest.mark.parametrize("kept", [300, -200])  # not even the header, and all but the last rows
def test_a_truncated_picture_is_named(tmp_path, kept):
    own = own_folder(tmp_path)
    broken = own / "dög/turned.jpg"
    broken.write_bytes(broken.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"dög/turned\.jpg: cannot be decoded .*replace or remove the file"):
        prepare(tmp_path, images=f"folder:{own}")


def test_a_picture_that_cannot_be_decoded_is_named_where_the_user_has_it(tmp_path):
    own = own_folder(tmp_path)
    (own / "dög/empty.png").write_bytes(b"")
    message = (
        rf"^{re.escape(str(own))}/dög/empty\.png: .*remove the file; then `dvc repro --force download@images` brings"
    )
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, images=f"folder:{own}")


def test_what_is_left_out_of_a_users_folder_is_said(tmp_path, capsys):
    own = own_folder(tmp_path)
    draw(own / "loose.png")
    (own / "a cat/notes.txt").write_text("not a picture")
    for hidden in (".DS_Store", "dög/.hidden.png", "dög/.thumbnails/small.png"):
        (own / hidden).parent.mkdir(exist_ok=True)
        (own / hidden).write_bytes(b"")
    manifest = download_images(Download(images=f"folder:{own}"), tmp_path / "raw")
    assert manifest["left_out"] == ["a cat/notes.txt", "loose.png"] and manifest["classes"] == ["a cat", "dög"]
    assert not [path for path in (tmp_path / "raw").rglob("*") if path.name in ("small.png", ".hidden.png")]
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"{own}: no pictures, and left out: a cat/notes.txt (1 in all)",
        f"{own}: beside the class folders, and left out: loose.png (1 in all)",
    ]


def test_links_that_are_not_followed_are_said(tmp_path, capsys):
    own = own_folder(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    draw(tmp_path / "elsewhere/one.png")
    (own / "dög/linked.png").symlink_to(tmp_path / "elsewhere/one.png")
    (own / "dög/more").symlink_to(tmp_path / "elsewhere")
    (own / "a cat/lost.png").symlink_to(tmp_path / "nowhere.png")
    manifest = download_images(Download(images=f"folder:{own}"), tmp_path / "raw")
    assert {"a cat/lost.png", "dög/more"} <= set(manifest["left_out"])
    assert (tmp_path / "raw/pictures/dög/linked.png").is_file()
    assert "links to folders or to nothing, and left out: a cat/lost.png (2 in all)" in capsys.readouterr().out


def test_pictures_of_every_known_ending_are_read(tmp_path):
    for label in ("first", "second"):
        for ending in PICTURES:
            mode = {".pbm": "1", ".pgm": "L"}.get(ending, "RGB")
            draw(tmp_path / f"own/{label}/picture{ending.upper()}", mode, (20, 20))
    info, _ = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    assert sum(info["counts"].values()) == 2 * len(PICTURES) and info["size"] == 20


@pytest.mark.parametrize("name", [b"caf\xe9/1.png", b"a cat/caf\xe9.png", b"a cat/caf\xe9.txt", b"caf\xe9.png"])
def test_names_that_are_not_utf_8_are_refused(tmp_path, name):
    own = own_folder(tmp_path)
    path = own / os.fsdecode(name)
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(ValueError, match=r"'.*caf\\udce9.*' is not valid UTF-8; rename it") as refused:
        download_images(Download(images=f"folder:{own}"), tmp_path / "raw")
    assert str(refused.value).encode()


def test_folders_that_cannot_be_classified_say_why(tmp_path):
    draw(tmp_path / "own/only/1.png")
    with pytest.raises(ValueError, match="at least two"):
        prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    (tmp_path / "own/empty").mkdir()
    with pytest.raises(ValueError, match="empty: no picture"):
        prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    (tmp_path / "own/empty").rmdir()
    draw(tmp_path / "own/second/1.png")
    with pytest.raises(ValueError, match=r"fewer than 3 examples.*'only' \(1\)"):
        prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")


def mirror_of_idx(mirror, count):
    """Fashion-MNIST's four files with `count` noise images each."""
    rng = np.random.default_rng(0)
    mirror.mkdir(parents=True)
    for split in ("train", "t10k"):
        labels = np.arange(count, dtype=np.uint8) % 10
        header = struct.pack(">4I", 0x803, count, 28, 28)
        pixels = rng.integers(0, 255, (count, 28, 28), np.uint8).tobytes()
        (mirror / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels))
        header = struct.pack(">2I", 0x801, count)
        (mirror / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.tobytes()))


def test_a_mirror_may_pack_fashion_mnist_anew_but_not_shorten_it(tmp_path):
    mirror_of_idx(tmp_path / "mirror/fashion-mnist", 60)
    info, _ = prepare(tmp_path, images="fashion-mnist", mirror=str(tmp_path / "mirror"))
    assert info["counts"] == {"train": 50, "validation": 10, "test": 60} and info["classes"][0] == "t-shirt"
    short = tmp_path / "mirror/fashion-mnist/train-labels-idx1-ubyte.gz"
    short.write_bytes(gzip.compress(gzip.decompress(short.read_bytes())[:-1]))
    with pytest.raises(FetchError, match=r"train-labels-idx1-ubyte\.gz: not a whole IDX file"):
        prepare(tmp_path, images="fashion-mnist", mirror=str(tmp_path / "mirror"))


def test_a_mirror_may_pack_cifar10_anew(tmp_path):
    archive = tmp_path / "mirror/cifar10/cifar-10-binary.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as packed:
        for number, name in enumerate(("data_batch_1.bin", "test_batch.bin")):
            records = np.random.default_rng(number).integers(0, 255, (40, 3073), np.uint8)
            records[:, 0] = np.arange(40) % 10
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = records.size
            packed.addfile(entry, io.BytesIO(records.tobytes()))
    info, folder = prepare(tmp_path, images="cifar10", mirror=str(tmp_path / "mirror"))
    images, labels = load_images(folder, "test")
    assert info["counts"]["test"] == 40 and images.shape == (40, 3, 32, 32)
    assert np.array_equal(images.flatten(1).numpy(), records[:, 1:]) and labels.tolist() == records[:, 0].tolist()
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(FetchError, match="truncated or damaged"):
        prepare(tmp_path, images="cifar10", mirror=str(tmp_path / "mirror"))


@pytest.mark.parametrize(
    ("source", "name"), [("digits", "digits.csv.gz"), ("fashion-mnist", "t10k-images-idx3-ubyte.gz")]
)
def test_raw_data_that_is_damaged_after_its_download_is_named(tmp_path, source, name):
    mirror_of_idx(tmp_path / "mirror/fashion-mnist", 60)
    raw = tmp_path / "raw"
    manifest = download_images(Download(images=source, mirror=str(tmp_path / "mirror")), raw)
    write_json(raw / "manifest.json", manifest)
    (raw / name).write_bytes((raw / name).read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"raw: damaged since its download .* `dvc repro --force download@images`"):
        preprocess_images(raw, tmp_path / "processed", PreprocessImages())


@pytest.mark.parametrize("training", ["Training", "Final_Training/Images"])
def test_gtsrb_tracks_stay_together_and_its_test_set_stays_the_test_set(tmp_path, training):
    (tmp_path / "mirror/gtsrb").mkdir(parents=True)
    answers = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    with zipfile.ZipFile(tmp_path / "mirror/gtsrb/gtsrb.zip", "w") as archive:
        for label in range(43):
            for track in range(4):
                colour = (label, track, 7)
                for frame in range(3):
                    stream = io.BytesIO()
                    Image.new("RGB", (25 + frame, 30), colour).save(stream, "PPM")
                    archive.writestr(
                        f"gtsrb/GTSRB/{training}/{label:05d}/{track:05d}_{frame:05d}.ppm", stream.getvalue()
                    )
            archive.writestr(f"gtsrb/GTSRB/Final_Test/Images/{label:05d}.ppm", stream.getvalue())
            answers.append(f"{label:05d}.ppm;1;1;0;0;0;0;{label}")
        archive.writestr("gtsrb/GT-final_test.csv", "\n".join(answers))
    info, folder = prepare(tmp_path, images="gtsrb", mirror=str(tmp_path / "mirror"))
    assert info["counts"]["test"] == 43 and info["counts"]["validation"] == 43 * 3
    colours = {}
    for split in ("train", "validation"):
        images, _ = load_images(folder, split)
        colours[split] = {tuple(image[:2, 9, 9].tolist()) for image in images}
    assert not colours["train"] & colours["validation"]


def test_a_gtsrb_without_training_pictures_says_so(tmp_path):
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(tmp_path / "raw/gtsrb.zip", "w") as archive:
        stream = io.BytesIO()
        Image.new("RGB", (9, 9)).save(stream, "PPM")
        archive.writestr("gtsrb/Learning/00000/00000_00000.ppm", stream.getvalue())
        archive.writestr("gtsrb/GTSRB/Final_Test/Images/00000.ppm", stream.getvalue())
        archive.writestr("gtsrb/GT-final_test.csv", "Filename;ClassId\n00000.ppm;0\n")
    with pytest.raises(ValueError, match=r"gtsrb\.zip: holds no training pictures; it is not the GTSRB layout"):
        list(read_raw_images(tmp_path / "raw", {"source": "gtsrb"}))


@pytest.mark.skipif(not MIRROR.exists(), reason="the real data beside the checkout is absent")
@pytest.mark.parametrize(("source", "train_and_validation", "test"), [("mnist", 60000, 10000), ("gtsrb", 1644, 860)])
def test_real_data_from_a_mirror(tmp_path, source, train_and_validation, test):
    info, _ = prepare(tmp_path, images=source, mirror=str(MIRROR.resolve()))
    counts = info["counts"]
    assert counts["train"] + counts["validation"] == train_and_validation and counts["test"] == test


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(20, 20), (16, 24)])
def test_affine_maps_equal_torchvisions(channels, height, width):
    images = torch.rand(4, channels, height, width)
    degrees, shifts = torch.tensor([30.0, -12.0, 0.0, 90.0]), torch.tensor([[0.1, 0], [0, -0.25], [0.5, 0.25], [0, 0]])
    scales, shears = torch.tensor([1.0, 1.0, 0.8, 1.3]), torch.tensor([0.0, 20.0, -10.0, 5.0])
    changed = affine(images, degrees=degrees, shifts=shifts, scales=scales, shears=shears)
    for i, (right, down) in enumerate(shifts.tolist()):
        how = {
            "angle": -degrees[i].item(),
            "translate": [right * width, down * height],
            "scale": scales[i].item(),
            "shear": [shears[i].item(), 0.0],
            "interpolation": InterpolationMode.BILINEAR,
        }
        theirs = reference.affine(images[i], **how)
        # torchvision blends the border with its fill by a mask; inside, both must agree.
        inside = reference.affine(torch.ones_like(images[i]), **how) > 0.999
        assert inside.float().mean() > 0.15
        torch.testing.assert_close(changed[i][inside], theirs[inside], rtol=1e-3, atol=1e-3)


def keys_cubic(distance, a=-0.75):
    """The kernel of cubic convolution (Keys 1981)."""
    d = np.abs(distance)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def test_bicubic_resampling_follows_the_kernel_and_stays_between_black_and_white():
    size, angle = 11, np.deg2rad(20.0)
    image = torch.rand(1, 1, size, size, dtype=torch.float64).round()
    still, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    how = {"degrees": still + 20.0, "shifts": torch.zeros(1, 2, dtype=torch.float64), "scales": one, "shears": still}
    turned = affine(image, **how, interpolation="bicubic")[0, 0].numpy()
    places, centre, pixels = np.arange(size), (size - 1) / 2, image[0, 0].numpy()
    for row, column in itertools.product(places, places):
        # Counter-clockwise on a picture whose rows grow downwards.
        x, y = column - centre, row - centre
        source_x = np.cos(angle) * x - np.sin(angle) * y + centre
        source_y = np.sin(angle) * x + np.cos(angle) * y + centre
        expected = keys_cubic(source_y - places) @ pixels @ keys_cubic(source_x - places)
        assert turned[row, column] == pytest.approx(min(max(expected, 0), 1), abs=1e-9)
    assert not np.allclose(turned, affine(image, **how)[0, 0].numpy(), atol=0.01)


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_and_contrast_equal_torchvisions(channels):
    images, factors = torch.rand(3, channels, 9, 9), torch.tensor([0.6, 1.0, 1.5])
    for ours, theirs in (
        (adjust_brightness, reference.adjust_brightness),
        (adjust_contrast, reference.adjust_contrast),
    ):
        expected = torch.stack([theirs(i, f.item()) for i, f in zip(images, factors, strict=True)])
        torch.testing.assert_close(ours(images, factors), expected, rtol=1e-3, atol=1e-3)


def test_augmentation_is_seeded_per_image_and_can_be_switched_off():
    images = torch.rand(1, 1, 8, 8).expand(6, 1, 8, 8)
    first = augment(images, Augmentation(), torch.Generator().manual_seed(3))
    again = augment(images, Augmentation(), torch.Generator().manual_seed(3))
    assert torch.equal(first, again) and len(torch.unique(first, dim=0)) == 6
    off = {setting.name: 0 for setting in dataclasses.fields(Augmentation) if setting.type is float}
    assert torch.equal(augment(images, Augmentation(**off), torch.Generator()), images)
    limits = {"rotation": 20, "shift": 0.3, "scale": 0.4, "shear": 30, "brightness": 0.5, "contrast": 0.5, "flip": 0.5}
    for name, limit in {**limits, "cutout": 0.5}.items():
        changed = augment(images, Augmentation(**{**off, name: limit}), torch.Generator().manual_seed(3))
        assert not torch.equal(changed, images), name


def test_flips_mirror_and_cutout_blackens_a_square():
    images = 0.5 + torch.rand(40, 3, 9, 9) / 2
    off = {setting.name: 0 for setting in dataclasses.fields(Augmentation) if setting.type is float}
    flipped = augment(images, Augmentation(**{**off, "flip": 1.0}), torch.Generator())
    assert torch.equal(flipped, images.flip(3))
    cut = cut_out(images, 1 / 3, torch.full((40, 2), 0.5))
    assert torch.equal((cut == 0).nonzero()[:, 2:].unique(), torch.tensor([3, 4, 5]))
    assert (cut == 0).sum() == 40 * 3 * 9 and torch.equal(cut[cut > 0], images[cut > 0])


def test_epochs_do_not_repeat_and_any_step_can_be_asked_alone():
    device = torch.device("cpu")
    batches = ShuffledBatches(103, 10, seed=0, device=device)
    steps = [batches.indices(step) for step in range(20)]
    for epoch in (steps[:10], steps[10:]):
        assert len(set(torch.cat(epoch).tolist())) == 100
    assert not torch.equal(torch.cat(steps[:10]), torch.cat(steps[10:]))
    assert torch.equal(ShuffledBatches(103, 10, seed=0, device=device).indices(17), steps[17])
    assert not torch.equal(ShuffledBatches(103, 10, seed=1, device=device).indices(17), steps[17])


def test_examples_of_like_lengths_share_a_batch():
    device, lengths = torch.device("cpu"), torch.randint(1, 300, (1003,), generator=torch.Generator().manual_seed(0))
    batches = ShuffledBatches(1003, 10, seed=0, device=device, lengths=lengths)
    epoch = [batches.indices(step) for step in range(100)]
    assert len(set(torch.cat(epoch).tolist())) == 1000
    padded = sum(10 * lengths[batch].max() for batch in epoch)
    assert padded < 1.15 * lengths.sum(), "at most one step in seven is padding"
    longest = torch.stack([lengths[batch].max() for batch in epoch]).float()
    assert longest[:50].mean() == pytest.approx(longest[50:].mean().item(), rel=0.3), "long batches come all along"
    assert torch.equal(
        ShuffledBatches(1003, 10, seed=0, device=device, lengths=lengths).indices(117), batches.indices(117)
    )


def test_unseen_templates_are_new_sentences_of_known_words():
    captions = Captioner(("seven", "speed limit 20"), "handwritten")
    assert not set(TEMPLATES) & set(UNSEEN_TEMPLATES)
    table = captions.table(UNSEEN_TEMPLATES)
    assert table.shape[:2] == (2, len(UNSEEN_TEMPLATES)) and table.max() < captions.vocabulary_size
    asked = captions.encode(["the digit seven, written by hand", "please draw a 7"])
    assert any(asked[0].equal(row) for row in table[0]) and any(asked[1].equal(row) for row in table[0])
    with pytest.raises(UnknownWordError, match=r"'sevn'; near ones .*: seven.*; it draws seven, speed"):
        captions.encode(["a handwritten sevn"])
    with pytest.raises(UnknownWordError, match=r"unknown word '77'; it draws seven, speed limit 20$"):
        captions.encode(["a handwritten 77"])


def test_every_traffic_sign_is_asked_for_in_every_sentence():
    captions = Captioner(tuple(TRAFFIC_SIGNS), "photographed")
    for templates in (TEMPLATES, UNSEEN_TEMPLATES):
        table = captions.table(templates)
        assert table.shape[:2] == (43, len(templates))
        assert len(table.flatten(0, 1).unique(dim=0)) == 43 * len(templates)


@pytest.mark.parametrize("caption", ["", "  ", "?!...", "-"])
def test_a_caption_without_a_word_is_refused(caption):
    with pytest.raises(ValueError, match=r"has no word; the model knows .*seven"):
        Captioner(("seven", "nine"), "handwritten").encode(["seven", caption])


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A seven - handwritten!", ["a", "seven", "handwritten"]),
        ("stop_sign", ["stop", "sign"]),
        ("a T-shirt", ["a", "t-shirt"]),
        ("cre\u0300me", ["cr\u00e8me"]),  # an accent of its own, as some systems write file names
        ("\uff17", ["7"]),  # of full width
        ("\u0915\u093f", ["\u0915\u093f"]),  # a Devanagari letter and its vowel sign
    ],
)
def test_words_are_found_whatever_way_they_are_written(caption, words):
    assert split_words(caption) == words


def test_telling_words_are_those_that_not_every_class_has():
    captions = Captioner(("speed limit 20", "speed limit 30", "no speed limit"), "sign")
    assert [captions.words[number - 2] for number in captions.telling_words] == ["20", "30", "no"]
    captions = Captioner(("end of overtaking", "no overtaking by trucks", "stop"), "photographed")
    words = [captions.words[number - 2] for number in captions.telling_words]
    assert words == ["end", "no", "overtaking", "stop", "trucks"]  # any class may be a picture of something by a camera
    with pytest.raises(ValueError, match=r"'left turn', 'turn left' apart.*train_diffusion\.matcher"):
        _ = Captioner(("left turn", "turn left"), "sign").telling_words


def test_a_caption_longer_than_any_that_was_trained_is_refused():
    captions = Captioner(("seven", "nine"), "handwritten")
    longest = "the digit seven, written by hand"
    assert captions.encode([longest]).shape == captions.table(TEMPLATES)[0, :1].shape
    with pytest.raises(ValueError, match="7 words; the model reads at most 6"):
        captions.encode(["nine", longest + " seven"])


def test_a_digit_may_be_written_either_way():
    words, digits = Captioner(("seven", "nine"), "handwritten"), Captioner(("7", "9"), "handwritten")
    assert words.encode(["please draw a 7"]).equal(words.encode(["please draw a seven"]))
    assert digits.encode(["please draw a seven"]).equal(digits.encode(["please draw a 7"]))


@pytest.mark.parametrize(
    ("classes", "problem"),
    [(["cat", "!!"], "'!!' has no letter"), (["a cat", "A, cat"], "'a cat' and 'A, cat' have the same caption")],
)
def test_classes_that_no_caption_tells_apart_are_refused(classes, problem):
    with pytest.raises(ValueError, match=problem):
        captioner({"classes": classes, "caption_subject": "picture of a"})


def test_every_split_holds_every_class(tmp_path):
    _, folder = prepare(tmp_path, PreprocessImages(split_seed=5))
    for split in ("train", "validation", "test"):
        assert len(load_images(folder, split)[1].unique()) == 10
