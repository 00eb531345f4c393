"""The container's recipe, where no Docker daemon is: linted, and its commands run in a plain folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from temporary_clone import Clone

from benchmarks.code_graph import TOP

# Each instruction with its arguments, continued lines joined.
INSTRUCTIONS = [
    line.split(" ", 1)
    for line in (TOP / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    if re.match(r"[A-Z]+ ", line)
]
ENVIRONMENT = Path(sys.prefix)


def arguments_of(name):
    return [arguments for instruction, arguments in INSTRUCTIONS if instruction == name]


def test_a_linter_finds_nothing():
    linter = ENVIRONMENT / "bin/hadolint"
    if not linter.exists():
        pytest.skip("hadolint has no build for this system")
    done = subprocess.run([linter, "Dockerfile"], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_environment_is_set_up_from_what_is_copied_before(tmp_path):
    """Here the environment is there already, so that `make setup` finds nothing to do and touches no network."""
    if not (ENVIRONMENT / ".stamp").exists():
        pytest.skip("these tests do not run in the environment that `make setup` builds")
    (before, *_), (_, setup) = arguments_of("COPY"), arguments_of("RUN")
    *names, _ = before.split()
    for name in names:
        shutil.copy2(TOP / name, tmp_path)
    (tmp_path / ".venv").symlink_to(ENVIRONMENT)
    plain = {"PATH": os.defpath, "HOME": str(tmp_path)}
    done = subprocess.run(setup.split(), cwd=tmp_path, env=plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Installing" not in done.stdout


@pytest.mark.pipeline
def test_its_command_starts_the_pipeline_with_the_programs_of_its_environment(tmp_path):
    """With a bad setting, so that the first stage ends it; `test_pipeline.py` runs the whole."""
    clone = Clone(tmp_path)
    (clone.folder / ".venv").symlink_to(ENVIRONMENT)
    variables = dict(re.findall(r"(\w+)=(\S+)", " ".join(arguments_of("ENV"))))
    path = variables.pop("PATH").replace("/quartet", str(tmp_path)).replace("$PATH", os.defpath)
    (command,) = arguments_of("CMD")
    plain = {"PATH": path, "HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": os.devnull, **variables}
    clone.set({"train_cnn": {"width": 0}})
    done = subprocess.run(json.loads(command), cwd=tmp_path, env=plain, capture_output=True, text=True)
    assert done.returncode != 0 and "train_cnn.width" in done.stderr
