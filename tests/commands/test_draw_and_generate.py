"""`draw` and `generate`: what they write, and what they refuse before they load a model."""

import pytest
import torch
from family_plans import prepare, text_to_image_plan, trained
from in_process import quartet
from PIL import Image
from typer.testing import CliRunner

from benchmarks.code_graph import TOP
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import read_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of text to image, trained for a moment."""
    folder = tmp_path_factory.mktemp("draw")
    prepare(folder)
    _, plan = text_to_image_plan(folder, torch.device("cpu"))
    info = read_json(folder / "grey/info.json")
    data = {name: info[name] for name in (*plan.card_keys, "source", "sha256")}
    about = {"network": plan.description, "data": data, "training": {}}
    weights = trained(text_to_image_plan, folder).weights
    save_model(folder / "models/diffusion", weights, family="diffusion", **about)
    return folder


def run(*words):
    return CliRunner().invoke(quartet, list(words))


def draw(out, *words):
    params = str(TOP / "params.yaml")
    return run("draw", "the two", "--count", "2", "--steps", "1", "--params", params, "--out", str(out), *words)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("b.c.webp", "WEBP")]
)
def test_a_drawing_is_of_the_format_that_its_name_ends_in(folder, tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(folder)
    done = draw(tmp_path / name)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind and picture.size == (8 * 8 * 2, 8 * 8)


@pytest.mark.parametrize("name", ["a.gif", "a.pngx", "drawing", "a.tar.gz"])
def test_another_ending_is_refused_before_the_model_is_loaded(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # where there is no model
    done = draw(name)
    assert done.exit_code == 2 and not list(tmp_path.iterdir())
    assert f"draw: --out: found {name}, allowed are names that end in .png, .jpg, .jpeg, .webp" in done.stderr


@pytest.mark.parametrize("seed", ["-1", str(2**63), str(2**200)])
@pytest.mark.parametrize("words", [("draw", "the two"), ("generate", "The ")], ids=lambda words: words[0])
def test_a_seed_that_torch_cannot_take_is_refused(tmp_path, monkeypatch, words, seed):
    monkeypatch.chdir(tmp_path)
    done = run(*words, "--seed", seed)
    told = " ".join(done.stderr.replace("│", " ").split())
    assert done.exit_code == 2 and "Invalid value for '--seed': Input should be" in told
    assert ("than or equal to 0 " in told) if seed == "-1" else (f"than or equal to {2**63 - 1} " in told)
