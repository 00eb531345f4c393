"""Rebuild the committed pipeline in a clone, and compare its outputs and scores with those of the commit."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML

from quartet.artifacts import paths
from quartet.artifacts.exchanging import remove
from quartet.artifacts.writing import read_json
from quartet.tracking import dvc_state

NAMES_RUNS = ("run.json", "index.html")  # outputs that name runs or commits, and differ in each rebuild
# What another kind of processor can explain: a difference of 0.02 in scores up to 1, or of a tenth.
SHARE, RATIO = 0.02, 0.1


def clone_commit(repository: Path, clone: Path) -> None:
    """Clone HEAD, with the user's own data as it is here.

    Raises:
        ValueError: there is nothing to compare with, or git cannot clone.
    """
    if not dvc_state.git_output("ls-tree", "HEAD", "dvc.lock"):
        raise ValueError("dvc.lock is not in the last commit, so that there is nothing to compare with")
    if dvc_state.dirty():
        print("there are uncommitted changes; what is rebuilt is the last commit", flush=True)
    done = subprocess.run(["git", "clone", "--quiet", repository, clone], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git clone {repository}: {done.stderr.strip()}")
    if (repository / paths.OWN).is_dir():
        shutil.rmtree(clone / paths.OWN, ignore_errors=True)  # as committed, it holds empty folders
        (clone / paths.OWN).parent.mkdir(exist_ok=True)
        # One link for all: neither DVC nor the stages follow links inside a folder of data.
        (clone / paths.OWN).symlink_to((repository / paths.OWN).resolve())


def rebuild(clone: Path, targets: list[str]) -> None:
    """Run the stages, untracked, with the Python that runs this; a cache that others share is not taken from.

    Raises:
        ValueError: a stage fails.
    """
    for output in _locked(clone):
        remove(clone / output)  # some are committed, and would pass for rebuilt
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    environment = {**kept, "PATH": path, "QUARTET_TRACKING": "off"}
    command = [sys.executable, "-m", "dvc", "repro", "--force", *targets]
    done = subprocess.run(command, cwd=clone, env=environment, check=False)
    if done.returncode:
        raise ValueError("the rebuild failed; DVC's messages above say where")


def print_outputs(clone: Path) -> int:
    """Print of each output that was rebuilt in `clone` whether it is the same bytes; returns how many are not."""
    rebuilt, differing = _locked(clone), 0
    print(f"\n{'output':44} same bytes")
    for path in sorted(path for path in rebuilt if (clone / path).exists()):
        is_same = rebuilt[path] == dvc_state.locked_checksum(Path(path))
        names_runs = Path(path).name in NAMES_RUNS
        differing += not is_same and not names_runs
        print(f"{path:44} {'yes' if is_same else 'not compared: names runs' if names_runs else 'NO'}")
    print(f"{differing or 'no'} outputs differ", flush=True)
    return differing


def _locked(clone: Path) -> dict[str, str]:
    """The checksum of each output in the clone's `dvc.lock`, by path."""
    stages = YAML(typ="safe").load(clone / "dvc.lock")["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ())}


def print_scores(clone: Path, families: Iterable[str]) -> int:
    """Print the committed and the rebuilt scores; returns how many differ by more than a processor explains."""
    too_much = 0
    print(f"\n{'family':10} {'score':32} {'committed':>12} {'rebuilt':>12}")
    for family in families:
        path = paths.report(family) / "metrics.json"
        committed, rebuilt = dvc_state.read_json_at(path, "HEAD"), read_json(clone / path)
        for name in sorted(committed.keys() | rebuilt.keys()):
            before, after = committed.get(name), rebuilt.get(name)
            verdict = "" if is_close(before, after) else "  DIFFERS"
            too_much += bool(verdict)
            print(f"{family:10} {name:32} {before!s:>12} {after!s:>12}{verdict}")
    print(f"{too_much or 'no'} scores differ by more than another kind of processor can explain", flush=True)
    return too_much


def is_close(before: float | None, after: float | None) -> bool:
    """Whether two scores differ by no more than two kinds of processor can explain."""
    if before is None or after is None:
        return False
    return abs(after - before) <= max(SHARE if max(abs(before), abs(after)) <= 1 else 0, RATIO * abs(before))
