"""Sources of images: what is brought, checked and said of a folder or a mirror."""

import gzip
import io
import os
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from own_pictures import MIRROR, bring, draw, own_folder, prepare
from PIL import Image

from quartet.artifacts.fetching import FetchError
from quartet.datasets.images import load_images
from quartet.datasets.picture_folders.picture_files import ENDINGS
from quartet.images.preparation import prepare_images
from quartet.images.preparation.reading import read_raw_images
from quartet.images.settings import PreprocessImages


def test_a_users_folder_of_mixed_pictures_works(tmp_path):
    own = own_folder(tmp_path)
    (own / "a cat/notes.txt").write_text("not a picture")
    info, folder = prepare(tmp_path, images=f"folder:{own}")
    assert info["classes"] == ["a cat", "dög"] and info["size"] == 48 and info["channels"] == 3
    assert sum(info["counts"].values()) == 12
    assert load_images(folder, "train")[0].shape[1:] == (3, 48, 48)


def test_what_is_left_out_of_a_users_folder_is_said(tmp_path, capsys):
    own = own_folder(tmp_path)
    draw(own / "loose.png")
    (own / "a cat/notes.txt").write_text("not a picture")
    for hidden in (".DS_Store", "dög/.hidden.png", "dög/.thumbnails/small.png"):
        (own / hidden).parent.mkdir(exist_ok=True)
        (own / hidden).write_bytes(b"")
    manifest = bring(tmp_path / "raw", f"folder:{own}")
    left_out = {"not a picture": ["a cat/notes.txt"], "not in a class folder": ["loose.png"]}
    assert manifest["left_out"] == left_out and manifest["classes"] == ["a cat", "dög"]
    assert not [path for path in (tmp_path / "raw").rglob("*") if path.name in ("small.png", ".hidden.png")]
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == [
        f"{own}: ignored (not a picture): a cat/notes.txt",
        f"{own}: ignored (not in a class folder): loose.png",
    ]


def test_links_that_are_not_followed_are_said(tmp_path, capsys):
    own = own_folder(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    draw(tmp_path / "elsewhere/one.png")
    (own / "dög/linked.png").symlink_to(tmp_path / "elsewhere/one.png")
    (own / "dög/more").symlink_to(tmp_path / "elsewhere")
    (own / "a cat/lost.png").symlink_to(tmp_path / "nowhere.png")
    manifest = bring(tmp_path / "raw", f"folder:{own}")
    reason = "link to a folder or to nothing"
    assert sorted(manifest["left_out"][reason]) == ["a cat/lost.png", "dög/more"]
    with zipfile.ZipFile(tmp_path / "raw/pictures.zip") as archive:
        assert "dög/linked.png" in archive.namelist()
    printed = capsys.readouterr().out
    assert any(f"ignored ({reason})" in line and "a cat/lost.png" in line for line in printed.splitlines())


def test_pictures_of_every_known_ending_are_read(tmp_path):
    for label in ("first", "second"):
        for ending in ENDINGS:
            mode = {".pbm": "1", ".pgm": "L"}.get(ending, "RGB")
            draw(tmp_path / f"own/{label}/picture{ending.upper()}", mode, (20, 20))
    info, _ = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    assert sum(info["counts"].values()) == 2 * len(ENDINGS) and info["size"] == 20


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
        bring(tmp_path / "raw", f"folder:{own}")
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
    with pytest.raises(FetchError, match=r"train-labels-idx1-ubyte\.gz: not a complete IDX file"):
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
    bring(raw, source, str(tmp_path / "mirror"))
    (raw / name).write_bytes((raw / name).read_bytes()[:-100])
    with pytest.raises(
        ValueError, match=rf"{name}: expected sha256 .* damaged since .* `dvc repro --force download@images`"
    ):
        prepare_images(raw, tmp_path / "processed", PreprocessImages())


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
        list(read_raw_images(tmp_path / "raw", {"source": "gtsrb"}, []))


@pytest.mark.skipif(not MIRROR.exists(), reason="the real data beside the checkout is absent")
@pytest.mark.parametrize(("source", "train_and_validation", "test"), [("mnist", 60000, 10000), ("gtsrb", 1644, 860)])
def test_real_data_from_a_mirror(tmp_path, source, train_and_validation, test):
    info, _ = prepare(tmp_path, images=source, mirror=str(MIRROR.resolve()))
    counts = info["counts"]
    assert counts["train"] + counts["validation"] == train_and_validation and counts["test"] == test
