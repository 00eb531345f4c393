"""`python -m quartet summary` prints the layers of the models that are there."""

import pytest
from networks import build
from typer.testing import CliRunner

from quartet.__main__ import app
from quartet.artifacts import paths
from quartet.artifacts.model_store import save_model
from quartet.artifacts.rebuilding import count_parameters

DESCRIPTION = {"name": "compact", "channels": 1, "size": 8, "classes": 3, "width": 8, "dropout": 0.1}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A folder with an image classifier; its number of parameters."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    description = {**DESCRIPTION, "activation": "gelu"}
    network = build(description)
    save_model(
        paths.model("cnn"), network.state_dict(), family="cnn", network=description, data={"sha256": "a"}, training={}
    )
    return count_parameters(network)


def test_the_summary_lists_each_layer_with_its_output_and_parameters(trained):
    done = CliRunner().invoke(app, ["summary", "cnn"])
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.replace("│", " ").splitlines()]
    assert ["stem.convolution", "Conv2d", "8", "×", "8", "×", "8", "72"] in rows
    assert ["stem.activation", "GELU", "8", "×", "8", "×", "8", "0"] in rows
    assert ["classifier", "Linear", "3", "51"] in rows
    assert f"models/cnn: {trained:,} parameters" in done.output


def test_the_summary_of_all_says_which_model_is_missing(trained):
    done = CliRunner().invoke(app, ["summary"])
    assert done.exit_code == 1 and "models/cnn" in done.output
    assert "models/rnn/card.json is missing; `dvc repro` builds it" in done.output
