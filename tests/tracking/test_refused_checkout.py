"""Where git reads nothing: a checkout of another user's, and a tree without a repository."""

import os
import shutil
import subprocess
from pathlib import Path

import mlflow
import pytest
from typer.testing import CliRunner

from benchmarks.code_graph import TOP
from quartet.__main__ import app
from quartet.artifacts import paths
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import read_json
from quartet.tracking import dvc_state
from quartet.tracking.runs import tracked_run

REFUSED = "detected dubious ownership in repository"


def git(*arguments):
    who = ("-c", "user.name=me", "-c", "user.email=me@here")
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(home, monkeypatch):
    """A repository of git and DVC with a commit, in which tracking is on."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("PYTHONPATH", str(TOP))  # for the recorder, which starts in this folder
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("QUARTET_TRACKING", "on")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(home.parent))
    git("init")
    Path("code.py").write_text("committed\n")
    Path(".dvc").mkdir()
    Path(".dvc/config").touch()
    git("add", ".")
    git("commit", "-m", "first")
    dvc_state._at.cache_clear()
    dvc_state._locked_stages.cache_clear()
    return home


def tracked():
    with tracked_run("train-cnn", {}, []) as run:
        run.write_run_json(paths.report("cnn") / "run.json")
    run_id = read_json(paths.report("cnn") / "run.json")["run_id"]
    return mlflow.MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db").get_run(run_id).data.tags


def test_a_checkout_of_ones_own_is_recorded_with_its_commit(checkout):
    tags = tracked()
    assert (tags["mlflow.source.git.commit"], tags["git.dirty"]) == (git("rev-parse", "HEAD"), "false")
    Path("code.py").write_text("changed\n")
    assert dvc_state.commit_tags() == {"git.commit": git("rev-parse", "HEAD"), "git.dirty": "true"}


def test_a_checkout_of_another_user_is_recorded_as_unknown(checkout, monkeypatch):
    Path("code.py").write_text("changed\n")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    tags = tracked()
    assert (tags["mlflow.source.git.commit"], tags["git.dirty"]) == ("unknown", "unknown")
    assert dvc_state.commit_tags() == {"git.commit": "unknown", "git.dirty": "unknown"}
    assert "train-cnn" in CliRunner().invoke(app, ["runs"]).stdout  # the workspace takes no commit


def test_commands_that_need_a_commit_say_that_git_refuses(checkout, monkeypatch):
    save_model(paths.model("cnn"), {}, family="cnn", network={"name": "none"}, data={"sha256": "a"}, training={})
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for words in (["runs", "HEAD"], ["promote", "cnn"]):
        if words[0] == "runs":
            tracked()
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 1 and done.stderr.startswith(f"{words[0]}: no commit or experiment can be read here")
        assert REFUSED in done.stderr and "git config --global --add safe.directory" in done.stderr
        assert done.stderr.count("\n") == 1


def test_without_git_nothing_is_known(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert dvc_state.commit_tags() == {"git.commit": "unknown", "git.dirty": "unknown"}
    with pytest.raises(ValueError, match="git does not run"):
        dvc_state.locked_checksum(paths.model("cnn"))


@pytest.fixture
def make(tmp_path, monkeypatch):
    """`make` in a downloaded tree, where a Python that fails stands for the installation."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(TOP / name, tmp_path)

    def run(target, **variables):
        command = ["make", "-C", str(tmp_path), "--jobs", "2", target, "PYTHON=false", "UV="]
        return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("target", ["repro", "test", "check"])
def test_a_tree_without_git_is_said_before_the_environment_is_installed(make, tmp_path, target):
    done = make(target)
    assert done.returncode == 2 and "git init && git add . && git commit" in done.stderr
    assert not (tmp_path / ".venv").exists() and "Installing" not in done.stdout
    assert "git init" not in make("setup").stderr  # an image of a container is built without git
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert "git init" not in make(target).stderr
    refused = make(target, GIT_TEST_ASSUME_DIFFERENT_OWNER="1").stderr
    assert REFUSED in refused and "git refuses this checkout" in refused and "git init" not in refused
