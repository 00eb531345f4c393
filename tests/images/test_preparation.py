"""Images from raw to prepared: sizes, splits, statistics, memory."""

import tracemalloc

import numpy as np
import pytest
import torch
from own_pictures import bring, draw, prepare
from PIL import Image

from quartet.datasets.images import load_images
from quartet.images.preparation import prepare_images
from quartet.images.preparation.resizing import resized
from quartet.images.settings import PreprocessImages


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


@pytest.mark.parametrize("size", [None, 32])
def test_originals_are_not_in_memory_all_at_once(tmp_path, size):
    own = tmp_path / "own"
    for number in range(40):
        draw(own / f"class {number % 2}/{number}.ppm", "RGB", (1000, 700 + number))
    raw = tmp_path / "raw"
    bring(raw, f"folder:{own}")
    tracemalloc.start()
    try:
        prepare_images(raw, tmp_path / "processed", PreprocessImages(size=size))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * 1000 * 740 * 3, "room for twelve originals, of forty"
    assert (tmp_path / "processed/preview.png").exists()


@pytest.mark.parametrize("sides", [[(30, 30), (30, 30), (31, 31)], [(30, 30), (30, 20)], [(48, 48), (20, 20)]])
def test_pictures_of_different_sizes_are_each_resized_once(tmp_path, sides):
    own = tmp_path / "own"
    for label in ("first", "second"):
        for number in range(12):
            draw(own / f"{label}/{number:02d}.png", "RGB", sides[min(number // 2, len(sides) - 1)], seed=number)
    info, folder = prepare(tmp_path, PreprocessImages(fit="stretch"), images=f"folder:{own}")
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
        ((97, 97), 96, None, "images of 97×97 are resized to 96×96; set preprocess.images.size for another size"),
        ((97, 97), 97, 97, ""),
        ((97, 98), 48, None, ""),
    ],
)
def test_large_square_pictures_are_brought_to_96_if_no_size_is_set(tmp_path, capsys, size, side, setting, said):
    for number in range(6):
        draw(tmp_path / f"own/{number % 2}/{number}.png", "L", size, seed=number)
    info, folder = prepare(tmp_path, PreprocessImages(size=setting), images=f"folder:{tmp_path / 'own'}")
    assert info["size"] == side and load_images(folder, "train")[0].shape[1:] == (1, side, side)
    printed = capsys.readouterr().out
    assert said in printed and ("resized" in printed) == bool(said)


def test_every_split_holds_every_class(tmp_path):
    _, folder = prepare(tmp_path, PreprocessImages(split_seed=5))
    for split in ("train", "validation", "test"):
        assert len(load_images(folder, split)[1].unique()) == 10


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_are_cut_padded_or_stretched(dtype):
    pixels = np.zeros((20, 40), dtype)
    pixels[:, 10:30] = 100  # the middle square
    cut, padded, stretched = (resized(pixels, 20, fit) for fit in ("crop", "pad", "stretch"))
    assert cut.dtype == padded.dtype == dtype and cut.shape == padded.shape == stretched.shape == (20, 20)
    near = 4  # bicubic interpolation swings beside an edge
    assert (abs(cut.astype(int) - 100) <= near).all()
    assert (padded[:5] == 0).all() and (padded[15:] == 0).all() and (padded[5:15, 7:13] >= 100 - near).all()
    assert (stretched[:, 7:13] >= 100 - near).all() and (stretched[:, :3] <= near).all()
    upright = resized(np.stack([pixels.T] * 3, axis=2), 20, "pad") if dtype is np.uint8 else None
    assert upright is None or ((upright[:, :5] == 0).all() and (upright[7:13, 5:15] >= 100 - near).all())
