"""A tracker's outage costs nothing: a real MLflow server is killed, restarted and frozen, and a database locked."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from local_servers import Server
from typer.testing import CliRunner

from benchmarks.code_graph import TOP
from quartet.__main__ import app
from quartet.artifacts import paths
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import read_json
from quartet.tracking import store
from quartet.tracking.journals import unsent
from quartet.tracking.runs import tracked_run
from quartet.tracking.served import Column, Interface

WAITS, ANSWERS = "is sent when it answers; the stage goes on", "MLflow answers again, and has what it missed"
AGREES = "/api/2.0/mlflow/experiments/search?max_results=1"  # `/health` answers before the database is ready


class Tracker(Server):
    """MLflow's server, which can be killed, started again at its address, and frozen."""

    def again(self):
        return self.__enter__()

    def kill(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @contextlib.contextmanager
    def frozen(self):
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracker")
    command = [f"{sys.prefix}/bin/mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with Tracker(command, folder, environment, AGREES) as server:
        yield server


@pytest.fixture
def checkout(home, monkeypatch):
    """A folder in which tracking is on, with calls that soon give up."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("PYTHONPATH", str(TOP))  # for the recorder, which starts in this folder
    monkeypatch.setenv("QUARTET_TRACKING", "on")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return home


@pytest.fixture
def server(tracker, checkout, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.address)
    return tracker


def run_of(tag, value):
    """The one run with a tag, and its history of the loss, as steps."""
    client, experiment = store.open_store()
    (run,) = client.search_runs([experiment], f"tags.`{tag}` = '{value}'")
    return run, [row.step for row in client.get_metric_history(run.info.run_id, "loss")]


def wait_until(is_so, seconds=60):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def said_by(capfd):
    """A function that returns all that was said until now."""
    said = []

    def read():
        said.append(capfd.readouterr().err)
        return "".join(said)

    return read


def test_a_server_frozen_and_one_killed_in_the_middle_get_all_rows(server, capfd):
    read = said_by(capfd)
    with tracked_run("frozen", {}, []) as run:
        run.log_row({"step": 0, "loss": 0.5})
        with server.frozen():
            run.log_row({"step": 1, "loss": 0.4})
            wait_until(lambda: WAITS in read())
        run.log_row({"step": 2, "loss": 0.3})
        wait_until(lambda: ANSWERS in read())
        server.kill()
        run.log_row({"step": 3, "loss": 0.2})
        wait_until(lambda: read().count(WAITS) == 2)
        server.again()
        wait_until(lambda: read().count(ANSWERS) == 2)
        run.write_run_json(paths.REPORTS / "run.json")
    found, steps = run_of("dvc.stage", "frozen")
    assert (found.info.status, steps) == ("FINISHED", [0, 1, 2, 3])
    assert read_json(paths.REPORTS / "run.json")["run_id"] == found.info.run_id
    assert read().count(WAITS) == read().count(ANSWERS) == 2 and not unsent()


def test_what_is_left_of_a_stage_is_sent_by_the_next(server, capfd):
    with contextlib.ExitStack() as outage:
        with tracked_run("left", {}, []) as run:
            run.log_row({"step": 0, "loss": 0.5})
            outage.enter_context(server.frozen())
            run.log_row({"step": 1, "loss": 0.4})
            started = time.monotonic()
        ended = time.time()
        assert time.monotonic() - started < 15
        assert "the next stage sends it, or `python -m quartet sync`" in capfd.readouterr().err
        refused = CliRunner().invoke(app, ["sync"])
        assert refused.exit_code == 1 and refused.stderr.startswith(f"sync: MLflow at {server.address} does not answer")
    with tracked_run("next", {}, []):
        pass
    wait_until(lambda: not unsent())
    found, steps = run_of("dvc.stage", "left")
    assert (found.info.status, steps) == ("FINISHED", [0, 1])
    assert found.info.end_time / 1000 < ended


class Asked:
    """What a family says of its served model."""

    @staticmethod
    def interface(card):
        return Interface(Column("prompt", "string"), "text")

    @staticmethod
    def example(card):
        return Column("prompt", "string").example(["The "])


def train_and_evaluate():
    """Two stages that log all kinds of things; returns when the first began and ended."""
    family, model, report = (
        SimpleNamespace(key="cnn", served="test_outages:Asked"),
        paths.model("cnn"),
        paths.report("cnn"),
    )
    (paths.REPORTS / "data").mkdir(parents=True)
    began = time.time()
    with tracked_run("train-cnn", {"steps": 2}, [paths.REPORTS / "data"]) as run:
        run.log_dataset("digits", paths.REPORTS / "data", {"train": 5})
        for step in (1, 2):
            run.log_row({"step": step, "loss": 0.5 / step})
        save_model(model, {}, family="cnn", network={"name": "none"}, data={"sha256": "a"}, training={})
        run.log_outputs([model])
        run.log_model(family, model, {})
        run.write_run_json(report / "run.json")
        (report / "training").mkdir()
        (report / "training/curves.png").write_bytes(b"a picture")
        run.log_files([report / "training"])
    ended = time.time()
    with tracked_run("evaluate-cnn", {}, [model]) as run:
        run.log_scores({"test_accuracy": 0.9})
        run.log_training_run_scores("cnn", {"test_accuracy": 0.9})
    return began, ended


def test_a_frozen_server_is_said_at_once_and_sync_sends_what_stayed(server, checkout, monkeypatch, tmp_path):
    with server.frozen():
        started = time.monotonic()
        with pytest.raises(store.TrackingUnreachableError, match=r"does not answer.*QUARTET_TRACKING=later"):  # noqa: SIM117
            with tracked_run("train-cnn", {}, []):
                raise AssertionError
        assert time.monotonic() - started < 5  # 3 s, and what a busy machine adds
        monkeypatch.setenv("QUARTET_TRACKING", "later")
        began, ended = train_and_evaluate()
    assert read_json(paths.report("cnn") / "run.json") == {} and len(unsent()) == 2
    shutil.rmtree(paths.report("cnn") / "training")  # as the next `dvc repro` does
    shutil.copytree(paths.tracking(), tmp_path / "copy")
    for _ in range(2):
        sent = CliRunner().invoke(app, ["sync"])
        assert sent.exit_code == 0 and sent.stdout.count("sent to run") == 2, sent.output
        found, steps = run_of("dvc.stage", "train-cnn")
        assert (found.info.status, steps, found.data.params["steps"]) == ("FINISHED", [1, 2], "2")
        assert began <= found.info.start_time / 1000 + 1 and found.info.end_time / 1000 <= ended
        assert found.data.metrics["test_accuracy"] == 0.9 and found.inputs.dataset_inputs[0].dataset.name == "digits"
        client, experiment = store.open_store()
        history = client.get_metric_history(found.info.run_id, "test_accuracy")
        assert len(history) == len({row.model_id for row in history}) == 1
        pictures = client.list_artifacts(found.info.run_id, "training")
        assert [picture.path for picture in pictures] == ["training/curves.png"]
        (model,) = client.search_logged_models([experiment], f"source_run_id = '{found.info.run_id}'")
        assert model.status == "READY" and run_of("dvc.stage", "evaluate-cnn")[0].info.status == "FINISHED"
        # As if it had crashed before it was marked as sent.
        shutil.rmtree(paths.tracking())
        shutil.copytree(tmp_path / "copy", paths.tracking())


WAITING = """
import sys
from quartet.artifacts.stop_requests import ends_when_told
from quartet.tracking.runs import tracked_run
with ends_when_told(), tracked_run("stopped", {}, []) as run:
    run.log_row({"step": 1, "loss": 0.5})
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(("number", "finished"), [(signal.SIGTERM, True), (signal.SIGKILL, False)])
def test_a_stage_that_is_stopped_during_an_outage_is_marked_as_it_ended(server, number, finished):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    stage = subprocess.Popen([sys.executable, "-c", WAITING], **pipes)
    assert stage.stdout.readline() == "ready\n"
    with server.frozen():
        if finished:  # it waits for the tracker as its training is done
            stage.stdin.write("go on\n")
            stage.stdin.flush()
            wait_until(lambda: (journal := unsent()[0]).find("end") is not None and journal.is_over())
            time.sleep(0.5)
        started = time.monotonic()
        stage.send_signal(number)
        assert stage.wait() == (143 if finished else -signal.SIGKILL)
        assert time.monotonic() - started < 5
        stage.communicate()  # until the process that sends has given up
    CliRunner().invoke(app, ["sync"])
    found = run_of("quartet.process", stage_tag := run_tag(stage.pid))[0]
    assert stage_tag and found.info.status == ("FINISHED" if finished else "KILLED")


def run_tag(pid):
    """The tag of the run of a process that has ended."""
    client, experiment = store.open_store()
    runs = client.search_runs([experiment], "tags.`dvc.stage` = 'stopped'")
    (tag,) = {
        run.data.tags["quartet.process"] for run in runs if run.data.tags["quartet.process"].startswith(f"{pid} ")
    }
    return tag


LOCKED = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def locked(path):
    """Another process holds the lock of a database; yields its id."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", LOCKED, str(path)], **pipes) as holder:
        assert holder.stdout.readline() == "locked\n"
        try:
            yield holder.pid
        finally:
            holder.kill()


def test_a_locked_database_is_waited_for_and_called_locked(checkout, capfd):
    read = said_by(capfd)
    store.open_store()
    with locked(checkout / "mlflow.db") as pid, tracked_run("locked", {}, []) as run:
        run.log_row({"step": 0, "loss": 0.5})  # which does not wait for the lock
        wait_until(lambda: WAITS in read())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: ANSWERS in read())
        with locked(checkout / "mlflow.db") as second:
            run.log_row({"step": 1, "loss": 0.5})
            wait_until(lambda: read().count(WAITS) == 2)
        run.write_run_json(paths.REPORTS / "run.json")
    assert run_of("dvc.stage", "locked")[1] == [0, 1] and read_json(paths.REPORTS / "run.json")
    for holder in (pid, second):
        assert f"mlflow.db is locked by process {holder} (" in read()
    assert "damaged" not in read()


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}", "postgresql://me:s3cret@127.0.0.1:{}/mlflow"])
def test_a_tracker_that_accepts_and_never_answers_is_found_in_three_seconds(checkout, monkeypatch, address):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(silent.getsockname()[1]))
        started = time.monotonic()
        with pytest.raises(store.TrackingUnreachableError, match=r"QUARTET_TRACKING=later") as said:
            store.prepare()
        # Three seconds, and what a busy machine adds.
        assert time.monotonic() - started < 5 and "s3cret" not in str(said.value)
    started = time.monotonic()
    with pytest.raises(store.TrackingUnreachableError, match="refused"):
        store.prepare()  # nothing listens there now
    assert time.monotonic() - started < 3


def test_an_unknown_way_of_tracking_is_refused(checkout, monkeypatch):
    monkeypatch.setenv("QUARTET_TRACKING", "sometimes")
    with pytest.raises(ValueError, match=r"QUARTET_TRACKING: found 'sometimes', allowed are on, later, off"):
        store.mode()
