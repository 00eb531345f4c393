"""Where runs are stored: checkouts of any name, and what was deleted in MLflow."""

import dataclasses
import shlex
import subprocess
import sys

import mlflow
import pytest
from typer.testing import CliRunner

from benchmarks.code_graph import TOP
from quartet.__main__ import app
from quartet.artifacts import paths
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import read_json, write_json
from quartet.families import FAMILIES
from quartet.tracking import dvc_state, registry, store
from quartet.tracking.model_logging import log_model
from quartet.tracking.runs import tracked_run
from quartet.tracking.served import Column, Interface

NAMES = ["my pets%20x", "a%2Fb", "what? #été (2024)%"]


@pytest.fixture
def checkout(request, tmp_path, monkeypatch):
    """A folder, of a name if the test gives one, in which tracking is on."""
    folder = tmp_path / getattr(request, "param", "checkout")
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(TOP))  # for the recorder, which starts in this folder
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("QUARTET_TRACKING", "on")
    return folder


def tracked(**scores):
    """The run of a training with some scores, which is finished."""
    with tracked_run("train-cnn", {}, []) as run:
        run.log_scores(scores)
        run.write_run_json(paths.report("cnn") / "run.json")
    return read_json(paths.report("cnn") / "run.json")["run_id"]


@pytest.mark.parametrize("checkout", NAMES, indirect=True)
def test_runs_and_models_are_stored_in_a_checkout_of_any_name(checkout, tmp_path):
    run_id = tracked(accuracy=0.5)
    client, _ = store.open_store()
    assert client.get_run(run_id).data.metrics["accuracy"] == 0.5
    (checkout / "picture.txt").write_text("a picture")
    client.log_artifact(run_id, "picture.txt")
    mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="picture.txt", dst_path=str(tmp_path))
    assert (tmp_path / "picture.txt").read_text() == "a picture"
    (tmp_path / "picture.txt").unlink()
    assert list(tmp_path.iterdir()) == [checkout]  # no folder of another name beside it
    assert {"mlflow.db", "mlartifacts"} <= {path.name for path in checkout.iterdir()}


@pytest.mark.parametrize("checkout", NAMES, indirect=True)
def test_an_address_that_a_shell_made_of_the_folder_is_understood(checkout, monkeypatch):
    default = store.address()
    for given in ("sqlite:///mlflow.db", f"sqlite:///{checkout}/mlflow.db", default):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        assert store.address() == default and store.database() == checkout / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=30")
    assert store.address() == f"{default}?timeout=30" and store.database() == checkout / "mlflow.db"


def restored(message):
    """Run the command that a message gives, as a user would."""
    setting, _, command = message.split("`")[1].partition(" ")
    name, _, value = shlex.split(setting)[0].partition("=")
    environment = {"PATH": f"{sys.prefix}/bin", name: value, "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run(shlex.split(command), env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("checkout", ["my%20pets"], indirect=True)
def test_a_deleted_experiment_is_said_with_the_command_that_restores_it(checkout):
    run_id = tracked()
    client, experiment = store.open_store()
    client.delete_experiment(experiment)
    with pytest.raises(store.TrackingUnreachableError) as told:
        tracked()
    message = str(told.value)
    assert message.startswith("MLflow's experiment 'quartet' was deleted") and "QUARTET_TRACKING=off" in message
    assert f"mlflow experiments restore --experiment-id {experiment}`" in message
    listed = CliRunner().invoke(app, ["runs"])
    assert listed.exit_code == 1 and listed.stderr == f"runs: {message}\n"
    restored(message)
    assert store.open_store()[1] == experiment and client.get_run(run_id).info.lifecycle_stage == "active"


def test_an_evaluation_of_a_training_whose_run_was_deleted_ends_and_says_so(checkout, capfd):
    training = tracked()
    client, _ = store.open_store()
    client.delete_run(training)
    with tracked_run("evaluate-cnn", {}, []) as run:
        run_id = run.wait_until_open()["run_id"]
        run.log_training_run_scores("cnn", {"test_accuracy": 0.5})
        run.log_scores({"accuracy": 0.5})
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED" and found.data.metrics["accuracy"] == 0.5
    assert f"run {training} was deleted in MLflow" in capfd.readouterr().err
    row = CliRunner().invoke(app, ["runs"]).stdout.splitlines()[1].split("\t")
    assert row[:3] == ["train-cnn", training, "DELETED"]


def test_what_cannot_be_logged_is_said_and_the_rest_is_logged(checkout, capfd):
    with tracked_run("evaluate-cnn", {}, []) as run:
        run_id = run.wait_until_open()["run_id"]
        run.log_files([checkout / "missing.txt"])
        run.log_scores({"a name that MLflow refuses: §": 0.5})
        run.log_outputs([])
        run.log_scores({"accuracy": 0.5})
    client, _ = store.open_store()
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED" and found.data.metrics["accuracy"] == 0.5
    said = capfd.readouterr().err
    assert said.count("missing.txt will not be in MLflow, the stage continues") == 1
    assert said.count("not in MLflow's run") == 1


@pytest.mark.parametrize("checkout", ["a%2Fb"], indirect=True)
def test_a_model_whose_run_was_deleted_is_not_promoted_until_it_is_restored(checkout, monkeypatch):
    monkeypatch.setattr(dvc_state, "locked_checksum", lambda path, revision="HEAD": registry.dvc_md5(path))
    monkeypatch.setattr(registry, "_check_scores", lambda family: None)
    monkeypatch.setattr(dvc_state, "tag_commit", lambda name, message: None)
    training, model = tracked(), paths.model("cnn")
    client, _ = store.open_store()
    save_model(model, {}, family="cnn", network={"name": "none"}, data={"sha256": "a"}, training={})
    prompt = Column("prompt", "string")
    interface = dataclasses.asdict(Interface(prompt, "text"))
    log_model(training, "cnn", "module:name", {"model": model}, interface, prompt.example(["The "]))
    write_json(paths.report("cnn") / "metrics.json", {"accuracy": 0.9})
    client.delete_run(training)
    with pytest.raises(ValueError, match=f"{training}.* was deleted in MLflow; restore it with") as told:
        registry.promote(FAMILIES["cnn"])
    restored(str(told.value))
    assert registry.promote(FAMILIES["cnn"]).champion
