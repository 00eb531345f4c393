"""Experiments, searches and promotions in a temporary clone of the built pipeline: real DVC, real MLflow."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from temporary_clone import copy_of_the_built

from quartet.artifacts.errors import BadInput
from quartet.commands.search.ranges import parse
from quartet.commands.search.storage import Storage
from quartet.commands.search.study import Search
from quartet.families import FAMILIES

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return copy_of_the_built(tmp_path_factory, "clone")


def test_queued_experiments_run_at_once_each_with_its_own_code_and_log_to_the_one_database(clone):
    own_code = clone.folder / "stages/train_cnn.py"
    for rate in ("0.001", "0.002"):
        change = f"train_cnn.learning_rate={rate}"
        clone.run("dvc", "exp", "run", "--queue", "-n", f"rate-{rate[2:]}", "-S", change, "evaluate@cnn")
    own_code.write_text('print("this is changed code")\n' + own_code.read_text())
    clone.run("dvc", "exp", "run", "--queue", "-n", "own-code", "train-cnn")
    clone.git("checkout", "-q", ".")
    clone.run("dvc", "exp", "run", "--run-all", "--jobs", "2")
    names = clone.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert {"rate-001", "rate-002", "own-code"} <= set(names)
    ours = {run.data.tags.get("dvc.exp_name"): run for run in clone.runs() if run.info.run_name == "train-cnn"}
    assert [ours[name].data.params["learning_rate"] for name in ("rate-001", "rate-002")] == ["0.001", "0.002"]
    said = {name: "this is changed code" in clone.run("dvc", "queue", "logs", name).stdout for name in names}
    assert said == {"rate-001": False, "rate-002": False, "own-code": True}
    shown = json.loads(clone.run("dvc", "metrics", "diff", "rate-001", "rate-002", "--json").stdout)
    assert shown["reports/cnn/training.json"]["validation_loss"]["diff"]
    clone.run("dvc", "plots", "show", "-o", "dvc_plots")
    assert "confusion" in (clone.folder / "dvc_plots/index.html").read_text()


def test_runs_of_the_workspace_a_commit_and_an_experiment(clone):
    def runs(*revision):
        rows = [line.split("\t") for line in clone.quartet("runs", *revision).stdout.splitlines()[1:]]
        return {stage: run_id for stage, run_id, *_ in rows}

    stages = {f"{verb}-{family}" for verb in ("train", "evaluate") for family in FAMILIES}
    assert set(runs()) == set(runs("HEAD")) == stages
    experiment = runs("rate-001")
    assert experiment["train-cnn"] != runs()["train-cnn"] and experiment["evaluate-cnn"] != runs()["evaluate-cnn"]
    assert experiment["train-lm"] == runs()["train-lm"]  # not trained again: the run that made it
    tags = {run.info.run_id: run.data.tags for run in clone.runs()}
    assert tags[experiment["evaluate-cnn"]]["dvc.exp_name"] == "rate-001"
    assert "no commit or experiment" in clone.quartet("runs", "nothing", check=False).stderr
    shown = clone.run("dvc", "exp", "show", "--csv").stdout
    assert experiment["train-cnn"] in shown


def test_a_search_goes_on_where_it_was_killed(clone):
    command = [sys.executable, "-m", "quartet", "search", "cnn", "--trials", "2", "--name", "rates"]
    ranges = ["train_cnn.learning_rate=log:0.001..0.02", "train_cnn.activation=relu,gelu"]
    refused = clone.run(*command, "train_cnn.depth=1..2", check=False)
    assert refused.returncode == 2 and "there is no setting 'train_cnn.depth'" in refused.stderr
    refused = clone.run(*command, "preprocess.text.vocabulary_size=300..4000", check=False)
    assert refused.returncode == 2 and "does not depend on preprocess.text.vocabulary_size" in refused.stderr

    def trials():
        return {run.info.run_name: run for run in clone.runs() if run.info.run_name.startswith("rates-")}

    def stages_of(trial):
        return [run for run in clone.runs() if run.data.tags.get("mlflow.parentRunId") == trial.info.run_id]

    search = subprocess.Popen([*command, *ranges], cwd=clone.folder, env=clone.environment(), start_new_session=True)
    while "rates-0" not in trials() or not stages_of(trials()["rates-0"]):  # its training has begun
        assert search.poll() is None
        time.sleep(0.5)
    os.killpg(search.pid, signal.SIGKILL)
    search.wait()
    clone.run(*command, *ranges)
    assert {name: run.info.status for name, run in trials().items()} == {
        "rates-0": "KILLED",
        "rates-1": "FINISHED",
        "rates-2": "FINISHED",
    }
    again, cut_off = trials()["rates-1"], trials()["rates-0"]
    assert trials()["rates-2"].data.params != again.data.params  # no proposal is drawn twice
    assert again.data.params == cut_off.data.params and "validation_score" in again.data.metrics
    (stage,) = stages_of(again)
    assert stage.info.run_name == "train-cnn"
    assert stage.data.params["learning_rate"] == again.data.params["train_cnn.learning_rate"]
    table = pd.read_csv(clone.folder / "reports/searches/rates/trials.csv")
    assert set(table.experiment) == {"rates-1", "rates-2"}
    assert set(table.experiment) <= set(clone.run("dvc", "exp", "list", "--name-only").stdout.split())
    clone.run("dvc", "plots", "show", "reports/searches/rates/parallel.png", "-o", "search_plots")
    assert "parallel.png" in (clone.folder / "search_plots/index.html").read_text()


def test_a_search_begins_no_trial_after_its_settings_have_changed(clone, monkeypatch):
    monkeypatch.chdir(clone.folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    search = Search(FAMILIES["cnn"], parse(["train_cnn.dropout=0..0.5:0.1"], FAMILIES["cnn"]), "changed", Storage(None))
    before = (clone.folder / "params.yaml").read_text()
    try:
        clone.set({"train_cnn": {"steps": 7}})
        with pytest.raises(BadInput, match=r"the search changed has trials .* train_cnn.steps is 6 there and 7 here"):
            search.run_trials(None, 3, 0)
    finally:
        (clone.folder / "params.yaml").write_text(before)
    clone.set({"train_rnn": {"include_validation": True}})
    try:
        refused = clone.quartet("search", "rnn", "train_rnn.learning_rate=0.001..0.01", check=False)
    finally:
        (clone.folder / "params.yaml").write_text(before)
    assert refused.returncode == 2 and "train_rnn.include_validation: set it to false for a search" in refused.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_search_that_ends_while_dvc_copies_the_workspace_leaves_it_as_it_was(clone, ending):
    """SIGINT and SIGKILL to all at once, as a terminal or a machine sends them; SIGTERM to the search alone."""
    changed = clone.folder / "CONTRIBUTING.md"
    text = changed.read_text()
    changed.write_text(text + "mine\n")
    before = clone.git("status", "--short").stdout
    name = f"cut-{ending.value}"
    command = [sys.executable, *f"-m quartet search cnn train_cnn.width=4..6 --name {name} --trials 1".split()]
    # A shell's background job, as these tests may be, ignores SIGINT and hands that down.
    search = subprocess.Popen(
        command,
        cwd=clone.folder,
        env=clone.environment(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    git, settings = clone.folder / ".git", clone.folder / "params.yaml"
    head, index, committed = git / "HEAD", git / "index", settings.read_text()
    assert head.read_text().startswith("ref:")

    def is_time():
        """DVC has HEAD detached; for the worst of ends it has also written, and staged, the trial's settings."""
        if ending is not signal.SIGKILL:
            return not head.read_text().startswith("ref:")
        staged = index.stat().st_mtime_ns > settings.stat().st_mtime_ns and not (git / "index.lock").exists()
        return settings.read_text() != committed and staged

    while not is_time():
        assert search.poll() is None
        time.sleep(0.005)
    (os.kill if ending is signal.SIGTERM else os.killpg)(search.pid, ending)
    assert search.wait() != 0
    if ending is signal.SIGKILL:
        assert not head.read_text().startswith("ref:")
        assert f"{name}-0 was killed while DVC copied the workspace" in clone.run(*command).stdout
        assert f"left by {name}-0, which was killed" in clone.git("stash", "list").stdout
        clone.git("stash", "drop")
        shutil.rmtree(clone.folder / "reports/searches" / name)
    assert head.read_text().startswith("ref:") and not clone.git("stash", "list").stdout
    assert clone.git("status", "--short").stdout == before
    assert changed.read_text() == text + "mine\n" and settings.read_text() == committed
    changed.write_text(text)


def test_the_champion_moves_only_for_a_better_score_and_is_what_dvc_finds(clone, tmp_path):
    client = clone.mlflow()

    def versions():
        return client.search_model_versions("name = 'quartet-cnn'")

    known = len(versions())
    experiments = {run.info.run_id for run in clone.runs() if "dvc.exp_name" in run.data.tags}
    assert experiments.isdisjoint(version.run_id for version in versions())
    first = client.get_model_version("quartet-cnn", "1")
    assert first.tags["dvc.md5"] == clone.checksums()["models/cnn"] and first.tags["dvc.path"] == "models/cnn"
    start = clone.git("rev-list", "--max-parents=0", "HEAD").stdout.strip()
    clone.git("tag", "--annotate", "cnn@v1.0.0", "-m", "of an earlier registry", start)
    refused = clone.quartet("promote", "cnn", check=False)
    assert refused.returncode == 1 and "already exists for another models/cnn" in refused.stderr
    clone.git("tag", "--delete", "cnn@v1.0.0")
    assert "is champion: the first one" in clone.quartet("promote", "cnn").stdout
    assert "champion already" in clone.quartet("promote", "cnn").stdout

    clone.run("dvc", "exp", "run", "-n", "better", "evaluate@cnn", "-S", "train_cnn.steps=120")
    assert len(versions()) == known
    refused = clone.quartet("promote", "cnn", check=False)
    assert refused.returncode == 1 and "commit dvc.lock first" in refused.stderr
    clone.commit()
    second = str(known + 1)
    assert f"quartet-cnn version {second} is champion: test accuracy" in clone.quartet("promote", "cnn").stdout
    head = clone.git("rev-parse", "HEAD").stdout.strip()
    assert clone.git("rev-parse", f"cnn@v{second}.0.0^{{commit}}").stdout.strip() == head
    champion = client.get_model_version_by_alias("quartet-cnn", "champion")
    assert str(champion.version) == second and champion.tags["git.commit"] == head

    clone.run("dvc", "exp", "run", "-n", "trained", "train-cnn", "-S", "train_cnn.steps=2")
    clone.commit()
    refused = clone.quartet("promote", "cnn", check=False)
    assert refused.returncode == 1 and "does not hold the scores of the committed model" in refused.stderr
    clone.run("dvc", "exp", "run", "-n", "worse", "evaluate@cnn")
    clone.commit()
    kept = clone.quartet("promote", "cnn", check=False)
    assert kept.returncode == 3 and f"version {second} stays champion" in kept.stdout

    for version in ("1", second):
        got, registered = tmp_path / f"dvc-{version}", tmp_path / f"mlflow-{version}"
        clone.run("dvc", "artifacts", "get", ".", "cnn", "--rev", f"v{version}.0.0", "-o", str(got))
        client_uri = f"models:/quartet-cnn/{version}"
        clone.run(
            "mlflow",
            "artifacts",
            "download",
            "-u",
            client_uri,
            "-d",
            str(registered),
            MLFLOW_TRACKING_URI=clone.database,
        )
        for name in ("model.safetensors", "card.json"):
            assert (got / name).read_bytes() == (registered / "artifacts/cnn" / name).read_bytes()
