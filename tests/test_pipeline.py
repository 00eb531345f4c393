"""The whole pipeline with shrunken settings in a temporary clone: real DVC, real MLflow."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from code_imports import TOP
from ruamel.yaml import YAML

pytestmark = pytest.mark.pipeline
FAMILIES = ("cnn", "rnn", "lm", "diffusion")
SHRUNKEN = {
    "download": {"text": "file:own.txt"},
    "preprocess": {"text": {"vocabulary_size": 300}},
    "train_cnn": {"steps": 6, "validate_every": 3, "width": 4},
    "train_rnn": {"steps": 6, "validate_every": 3, "hidden_size": 8},
    "train_lm": {"steps": 4, "validate_every": 2, "width": 16, "layers": 1, "heads": 2, "context": 16},
    "train_diffusion": {"steps": 4, "validate_every": 2, "width": 8, "text_width": 16, "text_heads": 2},
    "evaluate": {"diffusion": {"images": 20, "steps": 2}},
}


class Clone:
    """A copy of the working tree as a repository of its own."""

    def __init__(self, folder):
        self.folder = folder
        listed = self.git("-C", str(TOP), "ls-files", "-co", "--exclude-standard").stdout.splitlines()
        for name in listed:
            if (TOP / name).is_file() and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(TOP / name, folder / name)
        (folder / "own.txt").write_text("\n".join(path.read_text() for path in sorted(TOP.glob("quartet/*/*.py"))))
        self.set(SHRUNKEN)
        self.git("init", "-q")
        self.git("config", "user.email", "test@localhost")
        self.git("config", "user.name", "test")
        self.commit()

    def set(self, changes):
        yaml = YAML()
        path = self.folder / "params.yaml"
        params = yaml.load(path.read_text())
        merge(params, changes)
        with path.open("w") as stream:
            yaml.dump(params, stream)

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True)

    def run(self, *command, check=True, **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "QUARTET_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env={**kept, "PATH": path, **environment}
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def checksums(self):
        """Checksums of every output in the lock file, but those of `run.json`."""
        stages = YAML(typ="safe").load((self.folder / "dvc.lock").read_text())["stages"]
        outs = [out for stage in stages.values() for out in stage["outs"]]
        return {out["path"]: out["md5"] for out in outs if not out["path"].endswith("run.json")}

    def json(self, name):
        return json.loads((self.folder / name).read_text())

    def runs(self):
        client = mlflow.MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("quartet")
        return client.search_runs([experiment.experiment_id], max_results=1000)


def merge(into, changes):
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(into[key], value)
        else:
            into[key] = value


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
    for family in FAMILIES:
        for value in clone.json(f"reports/{family}/metrics.json").values():
            assert f"<td>{json.dumps(value)}</td>" in page
    assert 'src="http' not in page and page.count("data:image/png;base64,") > 8


def test_a_second_rebuild_does_nothing(clone):
    assert "Running stage" not in clone.run("dvc", "repro").stdout


def test_runs_are_nested_finished_and_lead_to_dvc_and_back(clone):
    runs = {run.info.run_name: run for run in clone.runs()}
    stages = [f"{verb}-{family}" for verb in ("train", "evaluate") for family in FAMILIES]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parents = {runs[stage].data.tags["mlflow.parentRunId"] for stage in stages}
    assert len(parents) == 1
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


def test_logged_models_load_and_answer_without_pickle(clone):
    script = (
        "import sys, json, mlflow, numpy as np; mlflow.set_tracking_uri('sqlite:///mlflow.db');"
        "c = mlflow.MlflowClient(); e = c.get_experiment_by_name('quartet').experiment_id;"
        "m = {x.name: x.model_uri for x in mlflow.search_logged_models([e], output_format='list')};"
        "ask = {'cnn': np.zeros((2, 1, 8, 8), np.uint8), 'rnn': np.zeros((2, 8, 8), np.uint8),"
        " 'lm': ['The '], 'diffusion': ['a handwritten seven']};"
        "print(json.dumps({f: len(mlflow.pyfunc.load_model(m[f]).predict(q)) for f, q in ask.items()}))"
    )
    done = clone.run(sys.executable, "-c", script, MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    assert json.loads(done.stdout.splitlines()[-1]) == {"cnn": 2, "rnn": 2, "lm": 1, "diffusion": 1}


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


def test_queued_experiments_run_their_own_code_and_log_to_the_one_database(clone):
    runs_before = len(clone.runs())
    for rate in ("0.001", "0.002"):
        change = f"train_cnn.learning_rate={rate}"
        clone.run("dvc", "exp", "run", "--queue", "-n", f"rate-{rate[2:]}", "-S", change, "evaluate@cnn")
    clone.run("dvc", "exp", "run", "--run-all")
    names = clone.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert {"rate-001", "rate-002"} <= set(names)
    runs = clone.runs()
    ours = [run for run in runs if run.data.tags.get("dvc.exp_name", "").startswith("rate-")]
    rates = {run.data.params.get("learning_rate") for run in ours}
    assert {"0.001", "0.002"} <= rates and len(runs) > runs_before
    shown = json.loads(clone.run("dvc", "metrics", "diff", "HEAD", "rate-001", "--json").stdout)
    assert shown is not None
    clone.run("dvc", "plots", "show", "-o", "dvc_plots")
    assert "confusion" in (clone.folder / "dvc_plots/index.html").read_text()


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
