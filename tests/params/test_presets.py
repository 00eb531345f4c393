"""Presets are true to their heads, `use` writes them, and each of them trains."""

import dataclasses
import re
import shutil
from pkgutil import resolve_name

import numpy as np
import pandas as pd
import pytest
import torch
from own_pictures import bring
from real_text import REFERENCE
from typer.testing import CliRunner

from benchmarks.code_graph import TOP
from quartet.__main__ import app
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import read_json, write_json
from quartet.families import FAMILIES
from quartet.images.preparation import prepare_images
from quartet.language.preparation import prepare_text
from quartet.language.sources import download_text
from quartet.params.editing import flattened
from quartet.params.fields import every_setting
from quartet.params.reading import read_yaml
from quartet.sequences.preparation import prepare_sequences
from quartet.sequences.sources import download_sequences
from quartet.settings import preset, preset_file, preset_names, read_settings, schema, settings_of
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.loop import train
from quartet.training.seeding import seed_everything

DEFAULTS = {setting.name: setting.default for setting in every_setting(schema())}


def use(path, *words):
    return CliRunner().invoke(app, ["use", *words, "--params", str(path)])


@pytest.fixture
def params(tmp_path):
    """A copy of the repository's settings."""
    return shutil.copy(TOP / "params.yaml", tmp_path / "params.yaml")


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_says_what_it_is_and_changes_settings_only(name):
    head = [line for line in preset_file(name).read_text().splitlines() if line.startswith("#")]
    assert re.fullmatch(r"# .{10,110}[.?]", head[0])
    text = " ".join(line.removeprefix("#").strip() for line in head)
    assert re.search(rf"python -m quartet use {name}( --with \S+)* && dvc exp run evaluate@", text)
    assert re.search(r"Expect|Takes", text)
    given = flattened(read_yaml(preset_file(name)))
    assert not [key for key, value in given.items() if DEFAULTS[key] == value]
    assert preset(name) == settings_of(read_yaml(preset_file(name)))


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_trains(name, tmp_path):
    """For two steps, on the embedded digits and on prose in place of what the preset would download."""
    settings = preset(name)
    given = read_yaml(preset_file(name))
    key = next(key for key, family in FAMILIES.items() if family.training_section in given)
    family, raw, folder = FAMILIES[key], tmp_path / "raw", tmp_path / "prepared"
    if family.item == "text":
        (tmp_path / "own.txt").write_text(REFERENCE[:60_000])
        write_json(raw / "manifest.json", download_text(f"file:{tmp_path / 'own.txt'}", Fetching(), raw))
        prepare_text(raw, folder, settings.preparation("text"))
    else:
        bring(raw)
        images = settings.preparation("images")
        # Digits of photographs' size would take minutes.
        prepare_images(raw, folder, dataclasses.replace(images, size=images.size and min(images.size, 48)))
    if family.item == "sequences":
        images, raw, folder = folder, tmp_path / "raw sequences", tmp_path / "sequences"
        source = settings.source("sequences")
        if settings.training(key).network == "linear":  # only forecasts
            days = pd.date_range("2020-01-01", periods=200)
            pd.DataFrame({"day": days, "sales": np.sin(np.arange(200.0))}).to_csv(tmp_path / "own.csv", index=False)
            source = f"csv:{tmp_path / 'own.csv'}"
        write_json(raw / "manifest.json", download_sequences(source, Fetching(), raw))
        prepare_sequences(raw, folder, settings.preparation("sequences"), images)
    training = dataclasses.replace(settings.training(key), precision="float32", steps=2)
    seed_everything(0)
    info, device = read_json(folder / "info.json"), torch.device("cpu")
    task = resolve_name(family.plan)(training, seed=0, folder=folder, info=info, device=device).task
    task = dataclasses.replace(task, steps=2, validate_every=2)
    outcome = train(task, training, seed=0, device=device, checkpoint=NoCheckpoint())
    assert outcome.steps == 2 and outcome.weights


def test_use_writes_a_preset_and_goes_back_leaving_comments_alone(params):
    before = params.read_text()
    said = use(params, "mnist-2s").output
    assert "train_cnn.steps: 800 → 360" in said and "download.images: digits → mnist" in said
    assert read_settings(params).training("cnn") == preset("mnist-2s").training("cnn")
    assert params.read_text().startswith(before.split("\n", 1)[0])  # the comment
    use(params, "mnist-2min")
    assert read_settings(params).training("cnn") == preset("mnist-2min").training("cnn"), "nothing of the other is left"
    assert "0 settings changed" in use(params, "mnist-2min").output
    use(params, "--defaults")
    assert params.read_text() == before


def test_several_presets_and_single_settings_stand_together(params):
    use(params, "mnist-2s", "shakespeare-2min", "--with", "train_cnn.steps=7", "--with", "train_lm.compile=true")
    found = read_settings(params)
    assert found.source("images") == "mnist" and found.source("text") == "tinyshakespeare"
    assert found.training("cnn").steps == 7 and found.training("lm").compile is True


@pytest.mark.parametrize(
    "path", ["été/ä b", "my pets (2024)", "a,b", "~/x", "c: d #e", "[1]", "{a}", "'q'", '"', "on", "1e-3", "a=b"]
)
def test_any_path_can_be_set(params, path):
    assert use(params, "--with", f"download.images=folder:{path}").exit_code == 0
    assert read_settings(params).source("images") == f"folder:{path}"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["mnits"], 2, "there is no preset 'mnits'; there are"),
        (["--with", "train_cnn.stepps=3"], 2, "there is no setting 'train_cnn.stepps'"),
        (["--with", "train_cnn.steps"], 2, "expected SETTING=VALUE"),
        (["--with", "train_cnn.steps=many"], 2, "train_cnn.steps: found 'many'"),
        (["--with", "train_cnn.network=reference"], 2, "which takes 48×48 RGB images"),
        (["--with", "train_cnn.steps=["], 2, "train_cnn.steps: found '[', allowed is whole number"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(params, words, code, message):
    before = params.read_text()
    done = use(params, *words)
    assert done.exit_code == code and message in done.output and params.read_text() == before


def test_the_presets_are_listed(params):
    listed = use(params).output
    assert all(name in listed for name in preset_names())
