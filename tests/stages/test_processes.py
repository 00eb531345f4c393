"""A training by several processes as a user runs it: one is killed, one hangs, and another number goes on."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from family_plans import bring, prepare_images
from real_text import REFERENCE

from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import read_json, write_json
from quartet.images.settings import PreprocessImages
from quartet.language.preparation import prepare_text
from quartet.language.settings import PreprocessText
from quartet.language.sources import download_text

TOP = Path(__file__).parents[2]
PARAMS = """
runtime: {{processes: {processes}, process_timeout: 3, checkpoint_seconds: 0.5}}
train_cnn: {{steps: 400, validate_every: 100, width: 4, optimizer: sgd, learning_rate: 0.02}}
train_lm: {{steps: 400, validate_every: 100, width: 16, layers: 1, heads: 2, context: 16, ngrams: 0, optimizer: adamw,
  learning_rate: 0.001, shard: true}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prepared digits, and no weights to begin with."""
    made = tmp_path_factory.mktemp("processes")
    images = made / "data/processed/images"
    bring(made / "raw")
    prepare_images(made / "raw", images, PreprocessImages())
    (made / "own.txt").write_text(REFERENCE[:20_000])
    write_json(made / "text/manifest.json", download_text(f"file:{made / 'own.txt'}", Fetching(), made / "text"))
    prepare_text(made / "text", made / "data/processed/text", PreprocessText(tokenizer="character"))
    (made / "params.yaml").write_text(PARAMS.format(processes=1))
    subprocess.run([sys.executable, "-m", "stages.download", "weights"], cwd=made, env=environment(), check=True)
    return made


def environment():
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "QUARTET_"))}
    return {**inherited, "PYTHONPATH": str(TOP), "QUARTET_TRACKING": "off", "OMP_NUM_THREADS": "1"}


def training(folder, processes, *before, stage="stages.train_cnn"):
    """Start a training; its words go to `said.txt`."""
    (folder / "params.yaml").write_text(PARAMS.format(processes=processes))
    command = [*(before or (sys.executable, "-m")), stage]
    with (folder / "said.txt").open("w") as said:
        return subprocess.Popen(command, cwd=folder, env=environment(), stdout=said, stderr=subprocess.STDOUT)


def ended(folder, process):
    return process.wait(timeout=120), (folder / "said.txt").read_text()


def results(folder):
    history = pd.read_csv(folder / "reports/cnn/training.csv")
    return (folder / "models/cnn/model.safetensors").read_bytes(), history


def member(process, number):
    """The process id of process `number` of a training, which is under way."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if re.search(rb"\0RANK=%d\0" % number, Path(f"/proc/{child}/environ").read_bytes()):
            return int(child)
    pytest.fail(f"no process {number}")


def wait_until_under_way(folder, process):
    while "step 100/400" not in (folder / "said.txt").read_text():
        assert process.poll() is None, (folder / "said.txt").read_text()
        time.sleep(0.05)


def signalled(folder, number, how, stage="stages.train_cnn"):
    """A training by two processes ends since one gets a signal: its process id, and what was said."""
    process = training(folder, 2, stage=stage)
    wait_until_under_way(folder, process)
    one = member(process, number)
    os.kill(one, how)
    code, said = ended(folder, process)
    assert code == 1
    assert "Traceback" not in said
    return one, said


@pytest.fixture(scope="module")
def whole(folder):
    """What an undisturbed training by two processes gives."""
    code, said = ended(folder, training(folder, 2))
    assert code == 0, said
    assert said.count("step 400/400") == 1, "each process speaks"
    return results(folder)


def test_one_is_killed_and_torchrun_by_hand_goes_on_to_the_same_bytes(folder, whole):
    killed, said = signalled(folder, 1, signal.SIGKILL)
    assert f"process 1 (pid {killed}) was ended by SIGKILL" in said
    by_hand = ("torchrun", "--standalone", "--nproc-per-node", "2", "-m")
    code, said = ended(folder, training(folder, 1, *by_hand))
    assert code == 0, said
    assert "resuming from step" in said
    assert results(folder)[0] == whole[0]


def test_one_hangs_and_a_single_process_goes_on(folder, whole):
    hanging, said = signalled(folder, 1, signal.SIGSTOP)
    assert "process 1 of 2" in said
    assert not Path(f"/proc/{hanging}").exists()
    code, said = ended(folder, training(folder, 1))
    assert code == 0, said
    assert "another number of processes (2 before, 1 now)" in said
    # Over hundreds of steps rounding grows, as it does between one thread and two: a few hundredths of the loss.
    names = ["step", "training_loss", "validation_loss"]
    pd.testing.assert_frame_equal(results(folder)[1][names], whole[1][names], rtol=0.1)


def test_a_stop_is_one_for_all(folder, whole):
    process = training(folder, 2)
    wait_until_under_way(folder, process)
    process.send_signal(signal.SIGTERM)
    code, said = ended(folder, process)
    assert code == 128 + signal.SIGTERM
    assert said.count("stopped at step") == 1
    code, said = ended(folder, training(folder, 2))
    assert code == 0, said
    assert "resuming from step" in said
    assert results(folder)[0] == whole[0]


def test_one_of_a_sharded_training_hangs_and_a_single_process_goes_on(folder):
    hanging, said = signalled(folder, 1, signal.SIGSTOP, stage="stages.train_lm")
    assert "process 1 of 2" in said
    assert not Path(f"/proc/{hanging}").exists()
    code, said = ended(folder, training(folder, 1, stage="stages.train_lm"))
    assert code == 0, said
    assert "train_lm.shard: not used by one process" in said
    assert "another number of processes (2 before, 1 now)" in said
    history = pd.read_csv(folder / "reports/lm/training.csv")
    assert list(history["step"]) == [100, 200, 300, 400]
    assert history["validation_loss"].is_monotonic_decreasing


def test_an_error_of_one_process_is_said_and_no_other(folder, tmp_path):
    """Process 0 alone saves checkpoints, where a file is in the way; the other waits for it."""
    shutil.copytree(folder / "data", tmp_path / "data")
    (tmp_path / ".checkpoints").touch()
    code, said = ended(tmp_path, training(tmp_path, 2))
    assert code == 1
    assert said.count("train_cnn:") == 1
    assert ".checkpoints" in said
    assert "died" not in said
    assert "Traceback" not in said


def test_an_error_is_said_once(folder, tmp_path):
    write_json(tmp_path / "data/processed/images/info.json", {})
    code, said = ended(tmp_path, training(tmp_path, 2))
    assert code == 1
    assert said.count("train_cnn:") == 1
    assert "Traceback" not in said


def test_an_evaluation_by_two_processes_has_the_scores_of_one(folder, whole):
    scores = []
    for processes in (1, 2):
        (folder / "params.yaml").write_text(PARAMS.format(processes=processes))
        command = [sys.executable, "-m", "stages.evaluate", "cnn"]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("metrics.json: accuracy") == 1
        scores.append((folder / "reports/cnn/metrics.json").read_text())
    assert scores[0] == scores[1]


def test_two_machines_train_one_model_and_one_run_has_the_metrics_of_both(folder, tmp_path):
    """The second machine is another folder here."""
    other = tmp_path / "other"
    shutil.copytree(folder / "data", other / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    shutil.rmtree(folder / ".tracking", ignore_errors=True)
    machines = []
    for place in (folder, other):
        settings = f"{{processes: 1, nodes: 2, rendezvous: '{meeting}'}}"
        longer = PARAMS.format(processes=1).replace("steps: 400", "steps: 1500")  # for metrics every two seconds
        (place / "params.yaml").write_text(re.sub("{.*?}", settings, longer, count=1))
        command, own = [sys.executable, "-m", "stages.train_cnn"], {**environment(), "QUARTET_TRACKING": "later"}
        with (place / "said.txt").open("w") as said:
            machines.append(subprocess.Popen(command, cwd=place, env=own, stdout=said, stderr=subprocess.STDOUT))
    for place, machine in zip((folder, other), machines, strict=True):
        code, said = ended(place, machine)
        assert code == 0, said
    first, second = sorted((folder, other), key=lambda place: not (place / ".tracking").exists())
    assert read_json(first / "reports/cnn/training.json")["processes"] == 2
    (journal,) = (first / ".tracking").glob("*/journal*")
    assert "system/machine-1/cpu_utilization_percentage" in journal.read_text()
    assert "Traceback" not in (second / "said.txt").read_text()
