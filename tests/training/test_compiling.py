"""torch's compiler changes how a step is computed, not what it computes."""

import shutil
import sysconfig
from pathlib import Path

import pytest
import torch
from family_plans import CPU, image_plan, language_plan, stopped_and_resumed, text_to_image_plan, trained

# Steps of AdamW or Muon would be as long for the smallest rounding error as for a gradient.
ALONG_THE_GRADIENT = {"optimizer": "sgd", "learning_rate": 0.1, "ema": 0.0, "dropout": 0.0}

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
needs_compiler = pytest.mark.skipif(
    not shutil.which("g++") or not Path(sysconfig.get_paths()["include"], "Python.h").exists(),
    reason="needs a C++ compiler and Python's headers",
)


@pytest.fixture(scope="module", autouse=True)
def no_code_from_before(tmp_path_factory):
    """Code of other processes; of these tests, those with equal code share it, and all share the compiled headers.

    The C++ compiler does not optimise here: it takes most of the time, and the kernels run for a few steps.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_DEBUG_COMPILE", "1")
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(autouse=True)
def nothing_compiled_yet():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def compiled_functions():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def distance(one, other):
    """Of all weights together, in shares of their length."""
    pairs = [(one[name].double(), other[name].double()) for name in one]
    return (sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs)).sqrt().item()


@needs_compiler
@pytest.mark.parametrize(
    ("plan_of", "functions"),
    [(image_plan, 2), (language_plan, 1), (text_to_image_plan, 1)],  # the images' transforms are one of their own
    ids=["images", "decoder", "text to image"],
)
def test_compiled_steps_change_the_weights_as_the_steps_do(family_data, plan_of, functions):
    plain = trained(plan_of, family_data, **ALONG_THE_GRADIENT)
    assert compiled_functions() == 0
    fused = trained(plan_of, family_data, compile=True, **ALONG_THE_GRADIENT)
    assert compiled_functions() == functions
    assert distance(fused.weights, plain.weights) < 1e-5
    assert fused.kept["training_loss"] == pytest.approx(plain.kept["training_loss"], rel=1e-5)


@needs_compiler
@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda"), marks=needs_gpu)], ids=str)
def test_compiled_steps_in_bfloat16_round_no_worse_than_the_steps_do(family_data, device):
    exact = trained(image_plan, family_data, device, **ALONG_THE_GRADIENT)
    rounded = {**ALONG_THE_GRADIENT, "precision": "bfloat16"}
    plain, fused = (trained(image_plan, family_data, device, compile=how, **rounded) for how in (False, True))
    assert 0 < distance(fused.weights, exact.weights) < 1.5 * distance(plain.weights, exact.weights)


@needs_compiler
def test_compiled_training_ends_with_the_same_bytes_also_when_it_was_stopped_half_way(family_data, home):
    settings = {"compile": True, "dropout": 0.3, "steps": 4, "validate_every": 2}
    whole = trained(image_plan, family_data, **settings)
    resumed = stopped_and_resumed(image_plan, family_data, between=torch._dynamo.reset, **settings)
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)


def test_without_a_compiler_the_setting_is_named(family_data, tmp_path, monkeypatch):
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(config.cpp, "cxx", ("/nonexistent",))
    with pytest.raises(ValueError, match=r"compile: .*set it to false: .*compiler"):
        trained(image_plan, family_data, compile=True)
