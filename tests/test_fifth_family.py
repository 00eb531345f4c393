"""A fifth family by adding: a package, an entry in `families.py`, its settings and its stages; nothing else."""

import re
import shutil
import signal
import subprocess
import sys

import pytest
from temporary_clone import copy_of_the_built

from benchmarks.code_graph import TOP

pytestmark = pytest.mark.pipeline
ADDED = TOP / "tests/fifth_family"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with a perceptron as fifth family, added to the four that are built."""
    clone = copy_of_the_built(tmp_path_factory, "fifth", with_runs=False)
    for folder in ("quartet", "stages"):
        shutil.copytree(
            ADDED / folder, clone.folder / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pyc*")
        )
    insert(clone, "quartet/families.py", ")\nFAMILIES = {", (ADDED / "entry.txt").read_text())
    insert(clone, "dvc.yaml", "  evaluate:\n", (ADDED / "train-stage.yaml").read_text())
    insert(
        clone, "dvc.yaml", "    do:\n      cmd: python -m stages.evaluate", (ADDED / "evaluate-item.yaml").read_text()
    )
    insert(clone, "dvc.yaml", "    - stages/report.py\n", "    - reports/mlp\n")
    clone.set({"train_mlp": {"hidden": 32, "steps": 200, "validate_every": 50}})
    clone.commit()
    clone.run("dvc", "repro")
    clone.commit()
    return clone


def insert(clone, name, before, text):
    """Into a file of the clone, at the one place where `before` stands."""
    path = clone.folder / name
    start, found, rest = path.read_text().partition(before)
    assert found and before not in rest, (name, before)
    path.write_text(start + text + before + rest)


def test_it_is_trained_scored_and_reported(clone):
    scores = clone.json("reports/mlp/metrics.json")
    assert scores["accuracy"] > 0.5 and scores["parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    page = (clone.folder / "reports/index.html").read_text()
    assert '<section id="mlp">' in page and "Perceptron: Confusion matrix" in page
    runs = {run.info.run_name for run in clone.runs()}
    assert {"train-mlp", "evaluate-mlp"} <= runs


def test_commands_know_it(clone):
    assert "`train_mlp.hidden`" in clone.quartet("settings").stdout
    assert "models/mlp: 2,410 parameters" in clone.quartet("summary", "mlp").stdout
    assert "train-mlp" in clone.quartet("runs").stdout
    assert "is champion" in clone.quartet("promote", "mlp").stdout
    refused = clone.quartet("use", "--with", "train_mlp.hidden=0", check=False)
    assert refused.returncode == 2 and "train_mlp.hidden: found 0" in refused.stderr
    found = clone.quartet("search", "mlp", "train_mlp.hidden=8..16", "--trials", "1").stdout
    assert re.search(r"mlp-0: validation_score .* with train_mlp\.hidden=\d+", found)


def test_it_is_served(clone):
    with clone.served(clone.logged_model("mlp")) as ask:
        (answer,) = ask({"inputs": [[[0] * 8] * 8]})
    assert answer["probability"] == max(answer["probabilities"].values())


def test_a_killed_training_goes_on_to_the_same_bytes(clone):
    clone.set({"train_mlp": {"steps": 3000, "validate_every": 100}})
    command, model = [sys.executable, "-m", "stages.train_mlp"], clone.folder / "models/mlp/model.safetensors"
    clone.run(*command)
    whole = model.read_bytes()
    how = {"cwd": clone.folder, "env": clone.environment(), "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **how) as process:
        for line in process.stdout:
            if line.startswith("step 500/"):
                process.kill()
    assert process.returncode == -signal.SIGKILL
    assert "resuming from step" in clone.run(*command).stdout
    assert model.read_bytes() == whole
