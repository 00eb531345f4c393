"""A stage ends with the `dvc` that runs it, and outlives a shell."""

import os
import select
import shutil
import signal
import subprocess
import sys

import pytest

from benchmarks.code_graph import TOP

CHILD = """
import time
from quartet.artifacts.stop_requests import ends_when_told
with ends_when_told():
    print("ready", flush=True)
    time.sleep(20)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.skipif(sys.platform != "linux", reason="the request is Linux's")
@pytest.mark.parametrize("parent", ["dvc", "a shell"])
def test_a_stage_ends_with_dvc_and_outlives_a_shell(parent):
    told = {"DVC_STAGE": "evaluate@cnn"} if parent == "dvc" else {}
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    started = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        env={**environment, "PYTHONPATH": str(TOP), **told},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with started.stdout as printed:
        assert printed.readline() == b"ready\n"
        started.kill()  # the pipe closes once the child has ended too
        started.wait()
        ended, _, _ = select.select([printed], [], [], 10 if parent == "dvc" else 1)
        assert bool(ended) == (parent == "dvc")
        if not ended:
            os.killpg(started.pid, signal.SIGKILL)


@pytest.mark.parametrize("stage", ["download", "preprocess", "evaluate", "train_cnn", "report"])
def test_every_stage_asks_for_it(stage, tmp_path):
    script = f"""
import sys
import quartet.artifacts.stop_requests as interruption
def asked():
    raise SystemExit(77)
interruption.ends_when_told = asked
import runpy
sys.argv[1:] = {["images"] if stage in ("download", "preprocess") else ["cnn"] if stage == "evaluate" else []}
runpy.run_module("stages.{stage}", run_name="__main__")
"""
    shutil.copy(TOP / "params.yaml", tmp_path)
    (tmp_path / "data/processed/images").mkdir(parents=True)
    (tmp_path / "data/processed/images/info.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TOP), "QUARTET_TRACKING": "off"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 77, done.stderr


SWALLOWED = """
import os, signal, time
from quartet.artifacts.stop_requests import ends_when_told
class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)
with ends_when_told():
    Last()
    time.sleep(3)
    print("went on")
"""


def test_a_signal_that_arrives_where_python_swallows_exceptions_ends_the_stage():
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    done = subprocess.run([sys.executable, "-c", SWALLOWED], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr == "stopped by SIGTERM; run the same command again" + (
        "; `dvc checkout` brings back what DVC built before\n" if "DVC_STAGE" in os.environ else "\n"
    )
