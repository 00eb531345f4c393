"""torch's compiler changes how a step is computed, not what it computes."""

import dataclasses
import shutil

import pytest
import torch

from quartet.artifacts.writing import read_json, write_json
from quartet.datasets.image_sources import download_images
from quartet.datasets.images import load_images, preprocess_images
from quartet.evaluation.image_training import image_training
from quartet.params.sections import Augmentation, Download, PreprocessImages, TrainCnn
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.loop import train
from quartet.training.seeding import seed_everything

CPU = torch.device("cpu")
CHANGES = Augmentation(scale=0.1, shear=5.0, flip=0.5, cutout=0.3)
SETTINGS = TrainCnn(precision="float32", batch_size=16, width=16, dropout=0.0, augmentation=CHANGES, steps=3)
# Steps of AdamW would be as long for the smallest rounding error as for a gradient.
ALONG_THE_GRADIENT = dataclasses.replace(SETTINGS, optimizer="sgd", learning_rate=0.1, ema=0.0)

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    write_json(folder / "raw/manifest.json", download_images(Download(), folder / "raw"))
    preprocess_images(folder / "raw", folder, PreprocessImages())
    return folder


@pytest.fixture(autouse=True)
def no_code_from_before(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    torch._dynamo.reset()


def trained(folder, settings, device=CPU):
    seed_everything(0)
    pairs = {"train": load_images(folder, "train"), "held_out": load_images(folder, "validation")}
    task = image_training(settings, read_json(folder / "info.json"), device, seed=0, **pairs).task
    return train(task, settings, seed=0, device=device, checkpoint=NoCheckpoint())


def distance(one, other):
    """Of all weights together, in shares of their length."""
    pairs = [(one[name].double(), other[name].double()) for name in one]
    return (sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs)).sqrt().item()


@needs_compiler
def test_compiled_steps_change_the_weights_as_the_steps_do(digits):
    plain, fused = (trained(digits, dataclasses.replace(ALONG_THE_GRADIENT, compile=how)) for how in (False, True))
    assert distance(fused.weights, plain.weights) < 1e-5
    assert fused.kept["training_loss"] == pytest.approx(plain.kept["training_loss"], rel=1e-5)


@needs_compiler
@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda"), marks=needs_gpu)], ids=str)
def test_compiled_steps_in_bfloat16_round_no_worse_than_the_steps_do(digits, device):
    exact = trained(digits, ALONG_THE_GRADIENT, device)
    rounded = dataclasses.replace(ALONG_THE_GRADIENT, precision="bfloat16")
    plain, fused = (trained(digits, dataclasses.replace(rounded, compile=how), device) for how in (False, True))
    assert 0 < distance(fused.weights, exact.weights) < 1.5 * distance(plain.weights, exact.weights)


@needs_compiler
def test_compiled_training_ends_with_the_same_bytes_each_time(digits):
    settings = dataclasses.replace(SETTINGS, compile=True, dropout=0.3)
    first, again = trained(digits, settings), trained(digits, settings)
    assert all(torch.equal(first.weights[name], again.weights[name]) for name in first.weights)


def test_without_a_compiler_the_setting_is_named(digits, monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("/nonexistent",))
    with pytest.raises(ValueError, match=r"compile: .*set it to false: .*compiler"):
        trained(digits, dataclasses.replace(SETTINGS, compile=True))
