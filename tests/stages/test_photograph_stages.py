"""A network with the weights of ImageNet, from the download of its weights to an answer about a picture."""

import pytest
from in_process import run

from quartet.artifacts.model_store import read_card
from quartet.artifacts.writing import read_json

PARAMS = """
preprocess: {images: {size: 32, channels: 3}}
train_cnn:
  {network: efficientnet-lite0, weights: imagenet, freeze: 1.0, steps: 60, validate_every: 30, optimizer: adamw}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "params.yaml").write_text(PARAMS)
    for stage, item in (("download", "images"), ("download", "weights"), ("preprocess", "images")):
        run(folder, f"stages.{stage}", item)
    run(folder, "stages.train_cnn")
    run(folder, "stages.evaluate", "cnn")
    return folder


def test_a_linear_probe_is_trained_scored_and_explained(folder):
    metrics = read_json(folder / "reports/cnn/metrics.json")
    assert metrics["accuracy"] > 0.5 and metrics["test_examples"] == 359
    drawn = {path.name for path in (folder / "reports/cnn/evaluation").iterdir()}
    assert {"grad_cam.png", "filters.png", "layers.csv"} <= drawn


def test_the_card_names_where_the_weights_come_from(folder):
    card, brought = read_card(folder / "models/cnn"), read_json(folder / "data/raw/weights/cnn/manifest.json")
    start = card["start"]
    assert start["from"] == "efficientnet-lite0, trained on ImageNet" and start["licence"].startswith("Apache")
    assert start["file"] == brought["file"] and start["sha256"] == brought["sha256"]
    assert sorted(start["new"]) == ["classifier.bias", "classifier.weight"]


def test_a_picture_is_classified(folder):
    picture = folder / "reports/cnn/evaluation/grad_cam.png"
    assert str(picture) in run(folder, "quartet", "classify", picture)
