"""Runs and the process that records them: real MLflow, real databases, real kills."""

import contextlib
import http.server
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import mlflow
import psutil
import pytest

from benchmarks.code_graph import TOP
from quartet.artifacts.errors import clear_errors
from quartet.artifacts.writing import read_json
from quartet.tracking import store
from quartet.tracking.lookup import runs_of_revision
from quartet.tracking.runs import tracked_run
from quartet.tracking.store import TrackingUnreachableError

STAGE = """
import time
from quartet.tracking.runs import tracked_run
with tracked_run("some-stage", {"steps": 3}, []) as run:
    LOGGED
    print(run.wait_until_open()["run_id"], flush=True)
    time.sleep(60)
"""


@pytest.fixture
def database(home, monkeypatch):
    """The address of the database that `home` gets, with no server named."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("QUARTET_TRACKING", "on")
    return f"sqlite:///{home / 'mlflow.db'}"


def run_in(database, run_id):
    return mlflow.MlflowClient(database).get_run(run_id)


def kill_recorder():
    """Kill the process that sends, and wait for its end."""
    deadline, recorders = time.monotonic() + 30, []
    while not recorders and time.monotonic() < deadline:  # one that has just begun has no command line yet
        recorders = [child for child in psutil.Process().children() if "quartet.tracking.recorder" in child.cmdline()]
    (recorder,) = recorders
    recorder.kill()
    os.waitid(os.P_PID, recorder.pid, os.WEXITED | os.WNOWAIT)


def test_what_a_stage_logs_is_on_its_run(home, database):
    (home / "picture.txt").write_text("a picture")
    with tracked_run("some-stage", {"steps": 3, "augmentation": {"flip": 0.5}}, []) as run:
        run.log_row({"step": 2, "loss": 0.5, "undefined": float("nan")})
        run.log_files([home / "picture.txt"], "pictures")
        run.write_run_json(home / "run.json")
    found = run_in(database, read_json(home / "run.json")["run_id"])
    assert (found.info.run_name, found.info.status) == ("some-stage", "FINISHED")
    assert found.data.params == {"steps": "3", "augmentation.flip": "0.5"}
    assert found.data.metrics["loss"] == 0.5
    client = mlflow.MlflowClient(database)
    assert [row.step for row in client.get_metric_history(found.info.run_id, "loss")] == [2]
    assert [file.path for file in client.list_artifacts(found.info.run_id, "pictures")] == ["pictures/picture.txt"]


def test_an_error_in_the_block_fails_the_run_and_passes(home, database):
    with pytest.raises(ZeroDivisionError), tracked_run("some-stage", {}, []) as run:
        run_id = run.wait_until_open()["run_id"]
        _ = 1 / 0
    assert run_in(database, run_id).info.status == "FAILED"


@pytest.mark.parametrize("logged", ['run.log_row({"step": 2, "loss": 0.5})', "pass"])
def test_the_run_of_a_stage_that_is_killed_says_so(home, database, logged):
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE.replace("LOGGED", logged)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    run_id = stage.stdout.readline().strip()
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
    deadline = time.monotonic() + 60
    while run_in(database, run_id).info.status == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert run_in(database, run_id).info.status == "KILLED"
    assert ("loss" in run_in(database, run_id).data.metrics) == (logged != "pass")


def test_a_recorder_that_is_killed_is_started_anew_and_nothing_is_lost(home, database, capfd):
    with tracked_run("some-stage", {}, []) as run:
        run_id = run.wait_until_open()["run_id"]
        for step in range(3):
            kill_recorder()
            run.log_row({"step": step, "loss": 0.5})
        run.write_run_json(home / "run.json")
    assert read_json(home / "run.json") == {"run_id": run_id}
    assert run_in(database, run_id).info.status == "FINISHED"
    history = mlflow.MlflowClient(database).get_metric_history(run_id, "loss")
    assert [row.step for row in history] == [0, 1, 2] and not list((home / ".tracking").iterdir())
    assert capfd.readouterr().err.count("ended (signal 9); it is started anew") == 1


def test_a_store_that_cannot_be_opened_is_said_with_the_first_row(home, database):
    (home / "mlflow.db").write_text("this is no database" * 100)
    with pytest.raises(TrackingUnreachableError, match=r"not a database.*QUARTET_TRACKING=off") as raised:  # noqa: SIM117
        with tracked_run("some-stage", {}, []) as run:
            run.log_row({"step": 1, "loss": 0.5})
    assert str(raised.value).count("cannot be used") == 1


class Locked(http.server.BaseHTTPRequestHandler):
    """A server behind a login: it answers, and lets nobody in."""

    def do_GET(self):
        self.send_error(200 if self.path == "/health" else 401)

    def log_message(self, *arguments):
        pass


def test_a_server_that_refuses_is_said_without_a_traceback(home, database, monkeypatch, capsys):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{running.server_port}")
        try:
            with pytest.raises(SystemExit), clear_errors("runs"):
                runs_of_revision(None, ["cnn"], "http://127.0.0.1:5000")
        finally:
            running.shutdown()
            thread.join()
    said = capsys.readouterr().err
    assert said.startswith("runs: MLflow at http://127.0.0.1") and "401" in said


def damage(path):
    path.write_text("this is no database" * 100)


def make_newer(path):
    """As an MLflow to come leaves it: at a revision that this one has never heard of."""
    # By another process, since MLflow remembers what it has opened.
    opening = f"import mlflow; mlflow.MlflowClient('sqlite:///{path}').search_experiments()"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", opening], check=True, env=environment)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")


@pytest.mark.parametrize(("spoil", "reason"), [(damage, "not a database"), (make_newer, "ffffffffffff")])
def test_a_database_that_cannot_be_used_is_said_without_a_traceback(home, database, capsys, spoil, reason):
    spoil(home / "mlflow.db")
    with pytest.raises(SystemExit), clear_errors("runs"):
        runs_of_revision(None, ["cnn"], "http://127.0.0.1:5000")
    said = capsys.readouterr().err
    assert said.startswith(f"runs: MLflow's database {home}/mlflow.db cannot be used") and reason in said
    assert said.count("cannot be used") == said.count("\n") == 1


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:port", "http://[::1", "http://", "nonsense://here", "mysql://it@127.0.0.1/runs"]
)
def test_an_address_that_is_none_is_said_without_a_traceback(home, monkeypatch, capsys, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(SystemExit), clear_errors("runs"):
        runs_of_revision(None, ["cnn"], "http://127.0.0.1:5000")
    said = capsys.readouterr().err
    assert said.startswith(f"runs: MLflow at {address.replace('it@', '')} does not answer") and said.count("\n") == 1


def test_a_password_is_not_told(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@db.example/runs")
    assert "secret" not in store.unavailable_message("no") and "//db.example/runs" in store.unavailable_message("no")
    said = store.unavailable_message(f"request to {store.address()} failed")
    assert "secret" not in said and said.count("//db.example/runs") == 2


def test_a_server_with_a_login_in_its_address_is_asked_without_it(home, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{running.server_port}")
        try:
            store.prepare()
        finally:
            running.shutdown()
            thread.join()
    with pytest.raises(TrackingUnreachableError) as raised:
        store.prepare()  # it has gone
    assert "secret" not in str(raised.value)


def test_what_mlflow_does_not_have_is_told_from_a_failure(home, database):
    client, _ = store.open_store()
    assert store.get_or_none(client.get_run, "0" * 32) is None
    assert store.get_or_none(client.get_model_version_by_alias, "quartet-cnn", "champion") is None
    client.create_registered_model("quartet-cnn")
    assert store.get_or_none(client.get_model_version_by_alias, "quartet-cnn", "champion") is None

    def failing(name):
        raise mlflow.exceptions.MlflowException(f"no answer about {name}")

    with pytest.raises(TrackingUnreachableError, match="no answer about quartet-cnn"):
        store.get_or_none(failing, "quartet-cnn")


def test_a_relative_database_lies_in_the_repository_whose_experiment_it_is(home, database, tmp_path, monkeypatch):
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert store.address() == database
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    assert store.address() == f"sqlite:///{tmp_path}/other.db"
