"""The whole pipeline with shrunken settings in a temporary clone: real DVC, real MLflow."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pandas as pd
import pytest
from browser import PHONE, WIDE, page_at
from local_servers import Server
from PIL import Image
from temporary_clone import SHRUNKEN, Clone

from benchmarks.code_graph import TOP
from quartet.families import FAMILIES
from quartet.reporting.numbers import format_number

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("clone"))
    clone.run("dvc", "repro")
    clone.commit()
    return clone


def test_every_output_of_the_design_is_there(clone):
    for family in FAMILIES:
        report = clone.folder / "reports" / family
        for name in ("metrics.json", "confusion.csv", "confusion_matrix.csv", "confusion.png", "training.csv"):
            assert (report / name).stat().st_size
        assert (report / "training/curves.png").exists() and list((report / "evaluation").iterdir())
        assert clone.json(f"models/{family}/card.json")["family"] == family
        assert clone.json(f"reports/{family}/metrics.json")["parameters"] > 0
    assert clone.git("status", "--porcelain").stdout == ""


def test_the_report_shows_every_number_and_needs_no_network(clone):
    page = (clone.folder / "reports/index.html").read_text()
    assert len(page) <= 3_000_000
    for family in FAMILIES:
        for name, value in clone.json(f"reports/{family}/metrics.json").items():
            assert name.endswith("_spread") or f'<td title="{value}">{format_number(value)}</td>' in page
    assert 'src="http' not in page and page.count("data:image/png;base64,") > 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_report_reads_well_in_a_browser_without_a_network(clone, size, scheme):
    with page_at((clone.folder / "reports/index.html").as_uri(), size, scheme) as page:
        page.evaluate("document.querySelectorAll('img').forEach(picture => picture.loading = 'eager')")
        page.wait_for_function("[...document.images].every(picture => picture.complete)")
        widths = page.evaluate("[...document.images].map(picture => picture.naturalWidth)")
        assert len(widths) > 20 and min(widths) > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]  # nothing to scroll sideways
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == (scheme == "dark")
        assert page.locator("section:has(code)").count() == page.locator("section").count()
        assert page.complaints == []


def test_dvc_plots_are_drawn_without_a_network(clone):
    clone.run("dvc", "plots", "show", "-o", "dvc_plots")
    with page_at((clone.folder / "dvc_plots/index.html").as_uri()) as page:
        page.wait_for_selector("canvas, svg", state="attached")
        assert page.locator("canvas, svg").count() >= 8  # a history and a confusion matrix per family
        assert page.complaints == []


def test_mlflows_ui_shows_nested_runs_pictures_and_versions(clone):
    command = [sys.executable, "-m", "quartet", "ui"]
    runs = {run.info.run_name: run for run in clone.runs() if run.info.run_name.startswith(("train", "evaluate"))}
    parent = runs["train-cnn"].data.tags["mlflow.parentRunId"]
    with Server(command, clone.folder, clone.environment(), "/health") as server:
        experiment = f"{server.address}/#/experiments/{runs['train-cnn'].info.experiment_id}/runs"
        with page_at(f"{experiment}/{parent}") as page:
            page.get_by_text("train-diffusion").first.wait_for()
        with page_at(f"{experiment}/{runs['train-cnn'].info.run_id}") as page:
            page.get_by_text("validation_accuracy").first.wait_for()
        with page_at(f"{experiment}/{runs['evaluate-cnn'].info.run_id}/artifacts") as page:
            page.get_by_text("confusion.png").first.wait_for()
        with page_at(f"{server.address}/#/models/quartet-cnn") as page:
            page.get_by_text("Version 1").first.wait_for()


def test_a_second_rebuild_does_nothing(clone):
    assert "Running stage" not in clone.run("dvc", "repro").stdout


def test_runs_are_nested_finished_and_lead_to_dvc_and_back(clone):
    runs = {run.info.run_name: run for run in clone.runs()}
    stages = [f"{verb}-{family}" for verb in ("train", "evaluate") for family in FAMILIES]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parents = {runs[stage].data.tags["mlflow.parentRunId"] for stage in stages}
    assert len(parents) == 1
    assert any(name.startswith("system/") for run in runs.values() for name in run.data.metrics)
    for family in FAMILIES:
        run = runs[f"train-{family}"]
        assert clone.json(f"reports/{family}/run.json")["run_id"] == run.info.run_id
        assert run.data.tags[f"dvc.out.models/{family}"] == clone.checksums()[f"models/{family}"]
        dependencies = [value for key, value in run.data.tags.items() if key.startswith("dvc.dep.data/processed")]
        assert dependencies and set(dependencies) <= set(clone.checksums().values())
        assert run.data.params["steps"] == str(SHRUNKEN[f"train_{family}"]["steps"])
        assert "validation_loss" in run.data.metrics
        assert run.inputs.dataset_inputs[0].dataset.digest
        for name, value in clone.json(f"reports/{family}/metrics.json").items():
            assert run.data.metrics[f"test_{name}"] == pytest.approx(value, rel=1e-4, abs=1e-5)


QUESTIONS = {
    "cnn": {"dataframe_records": [{"image": "PNG"}, {"image": "PNG"}]},
    "rnn": {"inputs": [[[0] * 8] * 8] * 2},
    "lm": {"dataframe_records": [{"prompt": "The "}], "params": {"tokens": 5, "seed": 1}},
    "diffusion": {"dataframe_records": [{"caption": "a handwritten seven"}], "params": {"seed": 1}},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_served_model_answers_over_http_without_pickle(clone, tmp_path, family):
    model, question = clone.logged_model(family), QUESTIONS[family]
    if family == "cnn":
        picture = tmp_path / "seven.png"
        Image.new("RGB", (20, 30), "navy").save(picture)
        encoded = base64.b64encode(picture.read_bytes()).decode()
        question = json.loads(json.dumps(question).replace("PNG", encoded))
    with clone.served(model) as ask:
        answer = ask(question)
        assert ask(question) == answer
        if family in ("lm", "diffusion"):
            assert ask({**question, "params": {**question["params"], "seed": 2}}) != answer
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask({"dataframe_records": [{"nonsense": 1}]})
        assert refused.value.code == 400
    if family == "cnn":
        shell = clone.run(sys.executable, "-m", "quartet", "classify", str(picture), "--top", "1").stdout
        assert shell.split("\t")[1].startswith(answer[0]["class"])
    if family in ("cnn", "rnn"):
        assert len(answer) == 2
        assert sum(answer[0]["probabilities"].values()) == pytest.approx(1)
        assert answer[0]["probability"] == max(answer[0]["probabilities"].values())
    elif family == "lm":
        assert answer[0].startswith("The ") and len(answer[0]) > 4
    else:
        assert Image.open(io.BytesIO(base64.b64decode(answer[0]))).size == (8, 8)


def test_mlflow_predicts_from_the_input_example(clone):
    model = clone.logged_model("diffusion")
    example = next(
        (clone.folder / "mlartifacts").rglob(f"{model.removeprefix('models:/')}/**/serving_input_example.json")
    )
    predict = ("mlflow", "models", "predict", "-m", model, "--env-manager", "local", "-i", str(example), "-t", "json")
    done = clone.run(*predict, MLFLOW_TRACKING_URI="sqlite:///mlflow.db", MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    assert base64.b64decode(json.loads(done.stdout.splitlines()[-1])["predictions"][0]).startswith(b"\x89PNG")


def test_without_tracking_the_same_bytes_come_out(clone):
    before = clone.checksums()
    stages = ["train-cnn", "train-rnn", "train-lm", "train-diffusion"]
    clone.run("dvc", "repro", "--force", "--single-item", *stages, QUARTET_TRACKING="off")
    assert clone.checksums() == before
    assert clone.json("reports/cnn/run.json") == {}
    clone.git("checkout", "-q", "dvc.lock")
    clone.run("dvc", "checkout", "--force")


def test_a_changed_cnn_setting_reruns_the_cnn_and_what_depends_on_it(clone):
    clone.set({"train_cnn": {"learning_rate": 0.003}})
    lines = clone.run("dvc", "repro").stdout.splitlines()
    clone.git("reset", "-q", "--hard")
    clone.run("dvc", "checkout", "--force")
    started = {line.split("'")[1] for line in lines if line.startswith("Running stage")}
    assert started == {"train-cnn", "evaluate@cnn", "evaluate@diffusion", "report"}


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
    assert refused.returncode == 1 and "there is no setting 'train_cnn.depth'" in refused.stderr

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


@pytest.mark.parametrize("stage", ["download images", "preprocess text", "train_cnn", "train_lm", "evaluate cnn"])
def test_bad_settings_end_a_stage_at_once_before_anything_is_written(tmp_path, stage):
    (tmp_path / "params.yaml").write_text("seed: -1\ntrain_cnn: {dropuot: 0.1}\n")
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage.split()[0]}", *stage.split()[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "seed: found -1" in done.stderr and "did you mean `dropout`?" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_dead_tracking_server_is_said_at_once(clone):
    done = clone.run(sys.executable, "-m", "stages.train_cnn", check=False, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "does not answer" in done.stderr and "QUARTET_TRACKING=off" in done.stderr and "Traceback" not in done.stderr
