"""Sets of images that are larger than memory: written and read in parts, to the same bytes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from family_plans import CPU, image_plan, photograph_plan, prepare, stopped_and_resumed, trained

from quartet.artifacts import memory
from quartet.artifacts.tensor_files import load_tensors, open_array, save_arrays, save_rows
from quartet.datasets import images as image_store
from quartet.datasets.images import StreamedImages, load_images, open_images
from quartet.images.preparation.pixel_file import PixelFile


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    prepare(folder)
    return folder


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(image_store, "free_memory", lambda: 1000)


@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (1, 1, 8, 8), (3, 1, 3, 3)])
def test_rows_that_come_one_by_one_give_the_bytes_of_the_whole(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    labels = np.arange(len(images))
    save_arrays(tmp_path / "whole.safetensors", {"images": images, "labels": labels})
    save_rows(tmp_path / "rows.safetensors", "images", iter(images), shape, {"labels": labels})
    assert (tmp_path / "rows.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert np.array_equal(open_array(tmp_path / "rows.safetensors", "images"), images)
    assert np.array_equal(open_array(tmp_path / "rows.safetensors", "labels"), labels)
    (tmp_path / "rows.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0broken")
    for wrong in ("rows", "none"):
        with pytest.raises(ValueError, match=r"is broken|is missing"):
            open_array(tmp_path / f"{wrong}.safetensors", "images")


@pytest.mark.parametrize(("count", "kind"), [(2, np.uint8), (4, np.uint8), (3, np.float32)])
def test_rows_that_are_not_those_announced_leave_no_file(tmp_path, count, kind):
    rows = (np.zeros((2, 2), kind) for _ in range(count))
    with pytest.raises(ValueError, match=r"rows\.safetensors: .* bytes of numbers came, .* were announced"):
        save_rows(tmp_path / "rows.safetensors", "images", rows, (3, 2, 2), {"labels": np.arange(3)})
    with pytest.raises(ValueError, match=r"labels cannot be stored: numbers of type complex128"):
        save_arrays(tmp_path / "rows.safetensors", {"labels": np.zeros(3, complex)})
    assert not list(tmp_path.iterdir())


def test_a_pixel_file_keeps_arrays_of_any_shape_and_type(tmp_path):
    random = np.random.default_rng(0)
    arrays = [
        random.integers(0, 200, shape).astype(kind)
        for shape, kind in (((3, 3), np.uint8), ((2, 5, 3), np.uint8), ((4, 4), np.uint16), ((1, 1), np.uint8))
    ]
    file = PixelFile(tmp_path / "pixels")
    for array in arrays:
        file.append(array)
    for array, kept in zip(arrays, file.close(), strict=True):
        assert kept.dtype == array.dtype and np.array_equal(kept, array)
    assert PixelFile(tmp_path / "none").close() == []


def test_streamed_images_are_those_in_memory(data, little_memory):
    images, labels = load_images(data / "grey", "train")
    streamed, same_labels = open_images(data / "grey", "train", CPU)
    assert isinstance(streamed, StreamedImages) and len(streamed) == len(images) and torch.equal(labels, same_labels)
    chosen = torch.tensor([5, 1, 1000, 5])
    for _ in range(2):
        assert torch.equal(streamed[chosen], images[chosen]) and torch.equal(streamed[:7], images[:7])
        for start in range(12):  # more than are kept
            streamed.read_ahead(torch.tensor([start]))
        streamed.read_ahead(chosen)
    assert torch.equal(torch.cat(list(streamed.split(100))), images)


def test_a_file_that_shrinks_while_it_is_read_is_named(data, little_memory, tmp_path):
    path = Path(shutil.copytree(data / "grey", tmp_path / "grey"), "train.safetensors")
    images, _ = open_images(path.parent, "train", CPU)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"train\.safetensors has become shorter"):
        images[torch.tensor([0, len(images) - 1])]


def test_large_pictures_are_scored_few_at_once(data, monkeypatch):
    images, _ = load_images(data / "grey", "validation")
    (_, plan), batches = image_plan(data, CPU), []
    monkeypatch.setattr(image_store, "VALUES", 5 * images[0].numel())
    plan.task.network.register_forward_hook(lambda network, inputs, outputs: batches.append(len(outputs)))
    plan.task.validate(plan.task.network)
    assert max(batches) == 5 and sum(batches) == len(images)


@pytest.mark.parametrize(("plan_of", "freeze"), [(image_plan, 0.0), (photograph_plan, 1.0)])
def test_a_streamed_training_gives_the_same_bytes(data, tmp_path, monkeypatch, capsys, plan_of, freeze):
    settings = {"steps": 90, "validate_every": 45, "freeze": freeze}  # more than an epoch
    whole = trained(plan_of, data, **settings)
    assert "read from disk" not in capsys.readouterr().out
    monkeypatch.setattr(image_store, "free_memory", lambda: 1000)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    streamed = trained(plan_of, data, **settings)
    assert "train.safetensors: 0.00 GiB are read from disk as they are used" in capsys.readouterr().out
    resumed = stopped_and_resumed(plan_of, data, **settings)
    for outcome in (streamed, resumed):
        assert outcome.history == whole.history
        assert all(torch.equal(tensor, outcome.weights[name]) for name, tensor in whole.weights.items())


def test_a_set_that_fits_lies_in_memory(data):
    images, _ = open_images(data / "grey", "train", CPU)
    assert torch.equal(images, load_tensors(data / "grey/train.safetensors")["images"])


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/box\n", {"box/memory.max": "1000\n"}, 1000),
        ("0::/box/inner\n", {"box/memory.max": "1000\n", "box/inner/memory.max": "max\n"}, 1000),
        ("0::/elsewhere\n", {"memory.max": "2000\n"}, 2000),  # in a container
        ("5:memory:/box\n4:cpu:/x\n", {"memory/box/memory.limit_in_bytes": "3000\n"}, 3000),
        ("0::/\n", {}, None),
    ],
)
def test_the_limit_of_a_control_group_is_found(tmp_path, membership, files, limit):
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    assert memory.memory_limit(tmp_path / "groups", tmp_path / "membership") == limit
    assert memory.memory_limit(tmp_path, tmp_path / "none") is None and memory.free_memory() > 0


MEASURED = """
import resource, sys, numpy as np
from pathlib import Path
from quartet.artifacts.tensor_files import save_rows
rows, shape = 400, (400, 3, 512, 512)
image = np.zeros(shape[1:], np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save_rows(Path(sys.argv[1]), "images", (image for _ in range(rows)), shape, {"labels": np.zeros(rows, np.int64)})
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_writing_a_set_takes_no_memory_for_it(tmp_path):
    path = tmp_path / "large.safetensors"
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    assert path.stat().st_size > 300 * 2**20 and float(done.stdout) < 30
