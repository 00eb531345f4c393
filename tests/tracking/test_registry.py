"""The champion moves for a better score alone, whichever way better is, and only between models of the same data."""

import dataclasses

import pytest
import torch

from quartet.artifacts import paths
from quartet.artifacts.checksums import dvc_md5
from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import save_model
from quartet.artifacts.tensor_files import load_tensors
from quartet.artifacts.writing import write_json
from quartet.families import FAMILIES
from quartet.params.shared import Training
from quartet.tracking import dvc_state, registry, store
from quartet.tracking.model_logging import log_model
from quartet.tracking.served import Column, Interface
from quartet.training import start_weights

PROMPT = Column("prompt", "string")


@pytest.fixture
def workspace(home, tmp_path, monkeypatch):
    """A folder with a model and scores, whose `dvc.lock` says whatever the workspace holds; a real MLflow database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("QUARTET_TRACKING", "on")
    monkeypatch.setattr(dvc_state, "locked_checksum", lambda path, revision="HEAD": dvc_md5(path))
    monkeypatch.setattr(dvc_state, "locked_dependencies", lambda stage: {})
    monkeypatch.setattr(registry, "_check_scores", lambda family: None)
    monkeypatch.setattr(dvc_state, "tag_commit", lambda name, message: None)
    return tmp_path


def trained(family, score, value, data="a"):
    """A tracked model in the workspace, different for each score, and its test scores."""
    client, experiment = store.open_store()
    run_id = client.create_run(experiment).info.run_id
    model, report = paths.model(family), paths.report(family)
    about = {"network": {"name": "none"}, "data": {"sha256": data}, "training": {}}
    save_model(model, {"weight": torch.tensor([value])}, family=family, **about)
    interface = dataclasses.asdict(Interface(PROMPT, "text"))
    log_model(run_id, family, "module:name", {"model": model}, interface, PROMPT.example(["The "]))
    write_json(report / "metrics.json", {score: value})
    write_json(report / "run.json", {"run_id": run_id})


@pytest.mark.parametrize(("key", "first", "better"), [("cnn", 0.9, 0.95), ("lm", 1.6, 1.5)])
def test_the_champion_moves_for_a_better_score_alone(workspace, key, first, better):
    family = FAMILIES[key]
    score = family.headline().score
    trained(key, score, first)
    assert registry.promote(family).champion
    trained(key, score, better)
    moved = registry.promote(family)
    assert moved.champion and f"test {score} {better:g} against {first:g} of version 1" in moved.message
    trained(key, score, (first + better) / 2)
    stays = registry.promote(family)
    assert not stays.champion and "version 2 stays champion" in stays.message
    trained(key, score, better, data="b")
    with pytest.raises(ValueError, match="tested on different data"):
        registry.promote(family)


def test_the_same_model_is_registered_once_and_its_scores_are_brought_up_to_date(workspace):
    family = FAMILIES["cnn"]
    trained("cnn", "accuracy", 0.9)
    registry.promote(family)
    write_json(paths.report("cnn") / "metrics.json", {"accuracy": 0.91})
    assert "it was champion already, test accuracy 0.91" in registry.promote(family).message
    client, _ = store.open_store()
    (version,) = client.search_model_versions("name = 'quartet-cnn'")
    assert client.get_model_version(version.name, version.version).tags["test.accuracy"] == "0.91"


def test_a_model_without_a_tracked_run_is_refused(workspace):
    trained("cnn", "accuracy", 0.9)
    write_json(paths.report("cnn") / "run.json", {})
    with pytest.raises(ValueError, match="trained without tracking"):
        registry.promote(FAMILIES["cnn"])


def test_a_training_goes_on_from_a_version_and_says_when_the_alias_has_moved(workspace, tmp_path, capsys, monkeypatch):
    family = FAMILIES["lm"]
    trained("lm", "bits_per_byte", 1.6)
    registry.promote(family)
    settings = Training(start_from="models:/quartet-lm@champion")
    start_weights.bring_weights("lm", settings, None, Fetching(), tmp_path / "lm")
    manifest = start_weights.read_start(settings.starts_from, tmp_path / "lm")
    assert manifest["version"] == "1" and load_tensors(tmp_path / "lm/model.safetensors")[
        "weight"
    ].item() == pytest.approx(1.6)
    start_weights.say_if_moved(manifest)
    assert capsys.readouterr().out == ""
    trained("lm", "bits_per_byte", 1.5)
    registry.promote(family)
    start_weights.say_if_moved(manifest)
    said = capsys.readouterr().out
    assert "is version 2 by now; this training starts from version 1" in said and "--force download@weights" in said
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
        start_weights.say_if_moved(manifest)
    assert "was version 1; now: " in capsys.readouterr().out
    with pytest.raises(BadInput, match="models:/quartet-lm@best is not in"):
        start_weights.bring_weights(
            "lm", Training(start_from="models:/quartet-lm@best"), None, Fetching(), tmp_path / "x"
        )
