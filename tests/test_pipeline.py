"""The whole pipeline with shrunken settings in a temporary clone: real DVC, real MLflow."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from browser import PHONE, WIDE, page_at
from local_servers import Server
from PIL import Image
from temporary_clone import SHRUNKEN, copy_of_the_built

from benchmarks.code_graph import TOP
from quartet.families import FAMILIES
from quartet.reporting.page.numbers import format_number

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return copy_of_the_built(tmp_path_factory, "clone")


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
