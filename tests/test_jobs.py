"""The examples of job files: read, and run to the end here, with this machine in the place of the cluster's.

Their trainings are real, of several processes that meet at 127.0.0.1. What a cluster brings is played: its variables,
`srun`, `scontrol`, and DVC's remote.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from local_servers import free_port
from real_text import REFERENCE
from ruamel.yaml import YAML

from benchmarks.code_graph import TOP, stages
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import write_json
from quartet.language.preparation import prepare_text
from quartet.language.settings import PreprocessText
from quartet.language.sources import download_text

JOBS = TOP / "docs/jobs"
SLURM = (JOBS / "train.sbatch").read_text()
SERVICE, CLAIM, JOB = YAML(typ="safe").load_all((JOBS / "kubernetes.yaml").read_text())
POD = JOB["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
SKY = YAML(typ="safe").load((JOBS / "skypilot.yaml").read_text())
SCRIPTS = {"slurm": SLURM, "kubernetes": CONTAINER["args"][0], "skypilot": SKY["run"]}
PARAMS = "train_lm: {steps: 4, validate_every: 2, width: 16, layers: 1, heads: 2, context: 16, ngrams: 64}"
PLAYED = {
    "srun": '"$@" & "$@" & wait -n; wait -n',  # on two machines, that see the same files
    "scontrol": "echo 127.0.0.1; echo other",
    "dvc": 'echo "$@" >> dvc.txt',
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a prepared text and no weights to begin with; what DVC would pull."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "own.txt").write_text(REFERENCE[:20_000])
    write_json(folder / "raw/manifest.json", download_text(f"file:{folder / 'own.txt'}", Fetching(), folder / "raw"))
    prepare_text(folder / "raw", folder / "data/processed/text", PreprocessText(tokenizer="character"))
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").touch()  # the environment is active here
    return folder


@pytest.fixture
def machine(prepared, tmp_path):
    """Starts a script on a machine of its own, with the variables that a cluster sets there."""
    port = str(free_port())
    for name, script in PLAYED.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "QUARTET_"))}
    path = os.pathsep.join((str(tmp_path / "bin"), str(Path(sys.executable).parent), kept["PATH"]))
    common = {"PATH": path, "PYTHONPATH": str(TOP), "OMP_NUM_THREADS": "1", "QUARTET_TRACKING": "off"}
    common["PET_LOCAL_ADDR"] = "127.0.0.1"  # torchrun's --local-addr: this machine's name need not lead to it

    def start(name, number=0, params=PARAMS, **variables):
        folder = tmp_path / f"machine-{number}"
        subprocess.run(["cp", "-r", prepared, folder], check=True)
        (folder / "params.yaml").write_text(params)
        command = ["bash", "-euo", "pipefail", "-c", SCRIPTS[name].replace("29500", port)]
        environment = {**kept, **common, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1", **variables}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=folder, env=environment, **pipes), folder

    return start


def check_trained(processes, started):
    """Check that a training of so many processes ended, and that the machine of the first keeps what it gave."""
    for process, _ in started:
        said = process.communicate(timeout=120)[0]
        assert process.returncode == 0, said
    (folder,) = (folder for _, folder in started if (folder / "models").exists())
    assert json.loads((folder / "reports/lm/training.json").read_text())["processes"] == processes
    assert json.loads((folder / "reports/lm/training.json").read_text())["steps"] == 4
    for _, other in started:
        kept = ["commit --force train-lm", "push --run-cache train-lm"] if other == folder else []
        assert (other / "dvc.txt").read_text().splitlines() == ["pull preprocess@text download@weights", *kept]


def test_slurm(machine, tmp_path):
    subprocess.run(["bash", "-n", JOBS / "train.sbatch"], check=True)
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", SLURM, re.M))
    assert SLURM.startswith("#!") and len(options) == SLURM.count("#SBATCH")
    assert options["ntasks-per-node"] == "1", "one torchrun on each machine"
    assert int(options["nodes"]) > 1 and int(options["gpus-per-node"]) > 1
    assert options["signal"].startswith("TERM@"), "the training saves before its time is up"
    job = {"SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "gpu[1-2]"}
    job["SLURM_SUBMIT_DIR"] = str(tmp_path / "machine-0")
    check_trained(2, [machine("slurm", **job)])


def test_slurm_says_what_is_missing(machine, tmp_path):
    process, _ = machine("slurm", SLURM_SUBMIT_DIR=str(tmp_path / "machine-0"), MLFLOW_TRACKING_URI="")
    assert "MLFLOW_TRACKING_URI: names the MLflow server" in process.communicate(timeout=60)[0]
    assert process.returncode


def test_kubernetes(machine):
    job, name = JOB["spec"], JOB["metadata"]["name"]
    variables = {each["name"]: each["value"] for each in CONTAINER["env"]}
    assert (JOB["apiVersion"], JOB["kind"], job["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert job["completions"] == job["parallelism"] == int(variables["PODS"])
    assert CONTAINER["resources"]["limits"]["nvidia.com/gpu"] == int(variables["GPUS"])
    # Pods find each other by the name of a headless service, which selects those of this job.
    assert SERVICE["spec"]["clusterIP"] == "None" and SERVICE["spec"]["selector"] == {"job-name": name}
    assert POD["subdomain"] == SERVICE["metadata"]["name"]
    assert variables["FIRST"] == f"{name}-0.{POD['subdomain']}"
    # What outlives a pod: the checkpoints.
    (volume,) = (each["name"] for each in POD["volumes"] if "persistentVolumeClaim" in each)
    assert {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}[volume] == "/quartet/.checkpoints"
    assert CLAIM["metadata"]["name"] in str(POD["volumes"])
    assert "WORKDIR /quartet" in (TOP / "Dockerfile").read_text() and CONTAINER["workingDir"] == "/quartet"
    assert CONTAINER["command"] == ["bash", "-euo", "pipefail", "-c"] and CONTAINER["envFrom"]
    pods = [machine("kubernetes", number, PODS="2", GPUS="1", FIRST="127.0.0.1") for number in range(2)]
    check_trained(2, pods)


def test_a_pod_that_is_told_to_stop_saves(machine):
    """The signal goes to the shell alone, the first process of the container."""
    longer = PARAMS.replace("steps: 4", "steps: 100000")
    process, folder = machine("kubernetes", params=longer, PODS="1", GPUS="1", FIRST="127.0.0.1")
    while "step 2/100000" not in (line := process.stdout.readline()):
        assert line, "the training ended"
    process.terminate()
    said = process.communicate(timeout=60)[0]
    assert "stopped at step" in said and process.returncode
    assert list((folder / ".checkpoints").rglob("*.safetensors"))
    assert (folder / "dvc.txt").read_text().splitlines() == ["pull preprocess@text download@weights"]


def test_skypilot(machine):
    assert SKY["num_nodes"] > 1 and re.fullmatch(r"\w+:\d+", SKY["resources"]["accelerators"])
    assert SKY["workdir"] == "." and SKY["setup"].strip() == "make setup"
    assert {**SKY["envs"], **SKY["secrets"]} == dict.fromkeys(
        ("MLFLOW_TRACKING_URI", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    ), "null: whoever launches it must give them"
    task = {"SKYPILOT_NUM_NODES": "1", "SKYPILOT_NUM_GPUS_PER_NODE": "2", "SKYPILOT_TASK_ID": "task"}
    task |= {"SKYPILOT_NODE_RANK": "0", "SKYPILOT_NODE_IPS": "127.0.0.1\n10.0.0.2"}
    check_trained(2, [machine("skypilot", **task)])


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_dvc_is_asked_for_exists(name):
    asked = [shlex.split(line) for line in SCRIPTS[name].splitlines() if line.strip().startswith("dvc ")]
    named = {word for words in asked for word in words[2:] if not word.startswith("--")}
    assert named == {"preprocess@text", "download@weights", "train-lm"}
    assert named <= {stage.name for stage in stages()}
