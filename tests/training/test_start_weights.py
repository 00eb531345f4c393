"""Trainings that go on from a model of one's own."""

import json
import shutil
from functools import partial

import pytest
import torch
from family_plans import CPU, PLANS, image_plan, text_to_image_plan, train_each_family, trained

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.writing import read_json, write_json
from quartet.params.shared import Training
from quartet.training.start_weights import bring_weights, read_start, take_weights


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    train_each_family(folder)
    return folder


def brought(data, tmp_path, key, start_from):
    settings = Training(start_from=str(start_from))
    bring_weights(key, settings, None, Fetching(), tmp_path / key)
    return read_start(settings.starts_from, tmp_path / key)


@pytest.mark.parametrize("key", PLANS)
def test_every_family_goes_on_from_its_own_model(data, tmp_path, key):
    manifest = brought(data, tmp_path, key, data / "models" / key)
    _, plan = PLANS[key](data, CPU)
    said = take_weights(plan.task.network, manifest, tmp_path / key)
    expected = load_weights(data / "models" / key)
    assert said["new"] == [] and said["sha256"] == read_card(data / "models" / key)["sha256"]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in plan.task.network.state_dict().items())


def test_what_does_not_fit_is_new_and_named(data, tmp_path, capsys):
    card = data / "grey/info.json"
    info = json.loads(card.read_text())
    manifest = brought(data, tmp_path, "cnn", data / "models/cnn")
    try:
        card.write_text(json.dumps({**info, "classes": [*info["classes"], "eleven"]}))
        _, plan = image_plan(data, CPU)
    finally:
        card.write_text(json.dumps(info))
    said = take_weights(plan.task.network, manifest, tmp_path / "cnn")
    assert said["new"] == ["classifier.bias", "classifier.weight"]
    assert "new: classifier.bias, classifier.weight" in capsys.readouterr().out
    state, expected = plan.task.network.state_dict(), load_weights(data / "models/cnn")
    assert torch.equal(state["stem.convolution.weight"], expected["stem.convolution.weight"])


@pytest.mark.parametrize("key", ["cnn", "rnn"])
def test_the_last_layer_for_other_classes_is_new_though_it_fits(data, tmp_path, capsys, key):
    manifest = brought(data, tmp_path, key, data / "models" / key)
    _, plan = PLANS[key](data, CPU)
    assert not plan.foreign(manifest) and not plan.foreign({"from": "imagenet"})
    classes = manifest["data"]["classes"]
    for others in (classes[::-1], [*classes[:-1], "another"]):
        foreign = plan.foreign({**manifest, "data": {"classes": others}})
        assert foreign == {"classifier.weight", "classifier.bias"}
        assert "other classes" in capsys.readouterr().out
    said = take_weights(plan.task.network, manifest, tmp_path / key, foreign)
    assert said["new"] == ["classifier.bias", "classifier.weight"]


NUMBERS = ("un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix")


@pytest.mark.parametrize(
    ("classes", "foreign"),
    [
        (lambda own: own, False),
        (lambda own: own[::-1], False),  # ids of words come from the sorted vocabulary
        (lambda own: [*own[:9], "ten"], True),
        (lambda own: list(NUMBERS), True),
    ],
)
def test_words_of_other_classes_keep_no_embedding_though_it_fits(data, tmp_path, capsys, classes, foreign):
    manifest = brought(data, tmp_path, "diffusion", data / "models/diffusion")
    folder = shutil.copytree(data / "grey", tmp_path / "grey", ignore=shutil.ignore_patterns("raw"))
    info = read_json(folder / "info.json")
    write_json(folder / "info.json", {**info, "classes": classes(info["classes"])})
    _, plan = text_to_image_plan(tmp_path, CPU)
    shapes = {name: tensor.shape for name, tensor in load_weights(data / "models/diffusion").items()}
    assert shapes == {name: tensor.shape for name, tensor in plan.task.network.state_dict().items()}
    said = take_weights(plan.task.network, manifest, tmp_path / "diffusion", plan.foreign(manifest))
    assert ("text_encoder.embedding.weight" in said["new"]) == foreign == ("other words" in capsys.readouterr().out)
    assert not [name for name in said["new"] if not name.startswith(("text_encoder.embedding", "matcher"))]


def test_a_start_model_that_says_nothing_of_its_words_keeps_no_embedding(data):
    _, plan = text_to_image_plan(data, CPU)
    info, network = read_json(data / "grey/info.json"), plan.description
    assert "text_encoder.embedding.weight" in plan.foreign({"network": network})
    others = plan.foreign({"network": {**network, "matched_words": network["matched_words"][1:]}, "data": info})
    assert others and all(name.startswith("matcher.") for name in others)


def test_going_on_begins_where_the_model_was(data, tmp_path):
    manifest = brought(data, tmp_path, "cnn", data / "models/cnn")

    def plan_of(data, device, **settings):
        chosen, plan = image_plan(data, device, **settings)
        take_weights(plan.task.network, manifest, tmp_path / "cnn")
        return chosen, plan

    still = partial(trained, data=data, steps=1, learning_rate=1e-10, ema=0.0, weight_decay=0.0)
    found, before = still(plan_of).weights, load_weights(data / "models/cnn")
    assert torch.allclose(found["classifier.weight"], before["classifier.weight"], atol=1e-7)


def test_a_folder_without_a_model_and_another_family_are_refused(data, tmp_path):
    with pytest.raises(BadInput, match="is no folder of a model; it holds no card"):
        brought(data, tmp_path / "a", "cnn", data / "grey")
    with pytest.raises(BadInput, match="is a model of the family rnn"):
        brought(data, tmp_path / "b", "cnn", data / "models/rnn")


def test_nothing_to_bring_is_a_manifest_alone(tmp_path):
    bring_weights("lm", Training(), None, Fetching(), tmp_path / "lm")
    assert [path.name for path in (tmp_path / "lm").iterdir()] == ["manifest.json"]
    assert read_json(tmp_path / "lm/manifest.json")["from"] is None and read_start(None, tmp_path / "x") is None


def test_no_fitting_weight_is_an_error(data, tmp_path):
    manifest = brought(data, tmp_path, "cnn", data / "models/cnn")
    with pytest.raises(BadInput, match="none of its weights fits this network"):
        take_weights(torch.nn.Linear(2, 2), manifest, tmp_path / "cnn")
    wider = torch.nn.Module()
    wider.classifier = torch.nn.Linear(3, 99)
    with pytest.raises(BadInput, match=r"classifier.bias is \d+ and here 99: set the sizes, such as width, to those"):
        take_weights(wider, manifest, tmp_path / "cnn")
