"""`python -m quartet verify [FAMILY ...]`: rebuild the committed pipeline elsewhere, and compare every output."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors
from quartet.artifacts.writing import read_json
from quartet.families import FAMILIES, FamilyKey

OWN = Path("data/own")  # a user's data, which is not in git
NAMES_RUNS = ("run.json", "index.html")  # outputs that name runs or commits, and differ in each rebuild
# What another kind of processor can explain: a difference of 0.02 in scores up to 1, or of a tenth.
SHARE, RATIO = 0.02, 0.1


def verify(
    families: Annotated[list[FamilyKey] | None, typer.Argument(help="Which branches; all if none is named.")] = None,
) -> None:
    """Rebuild the commit in a temporary clone with an empty cache; compare each output with dvc.lock.

    Exits with 0 if all are the same bytes; with 3 if some differ, but no score by more than another kind of processor
    explains; with 1 if a score does, or if the rebuild fails.
    """
    with clear_errors("verify"), tempfile.TemporaryDirectory(prefix="quartet-verify-") as name:
        keys = [family.value for family in families or []]
        clone = Path(name) / "clone"
        committed = locked_outputs(committed_file("dvc.lock"))
        clone_commit(Path.cwd(), clone)
        rebuild(clone, [f"evaluate@{key}" for key in keys])
        if print_outputs(committed, clone):
            raise typer.Exit(1 if print_scores(clone, keys or list(FAMILIES)) else 3)


def clone_commit(repository: Path, clone: Path) -> None:
    """Clone HEAD, with the user's own data linked and an empty cache of DVC.

    Raises:
        ValueError: git cannot clone.
    """
    changes = subprocess.run(["git", "status", "--porcelain"], cwd=repository, capture_output=True, text=True)
    if changes.stdout.strip():
        print("there are uncommitted changes; what is rebuilt is the last commit", flush=True)
    done = subprocess.run(["git", "clone", "--quiet", repository, clone], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git clone {repository}: {done.stderr.strip()}")
    own = repository / OWN
    for path in own.iterdir() if own.is_dir() else ():
        if not (clone / OWN / path.name).exists():
            (clone / OWN).mkdir(parents=True, exist_ok=True)
            (clone / OWN / path.name).symlink_to(path.resolve())


def rebuild(clone: Path, targets: list[str]) -> None:
    """Run the stages, untracked, with the Python that runs this.

    Raises:
        ValueError: a stage fails.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    environment = {**kept, "PATH": path, "QUARTET_TRACKING": "off"}
    done = subprocess.run([sys.executable, "-m", "dvc", "repro", *targets], cwd=clone, env=environment, check=False)
    if done.returncode:
        raise ValueError("the rebuild failed; DVC's messages above say where")


def committed_file(path: str) -> str:
    """A file of the last commit.

    Raises:
        ValueError: it is not there.
    """
    shown = subprocess.run(["git", "show", f"HEAD:./{path}"], capture_output=True, text=True, check=False)
    if shown.returncode:
        raise ValueError(f"{path}: is not in the last commit, so that there is nothing to compare with")
    return shown.stdout


def locked_outputs(lock: str) -> dict[str, str]:
    """The checksum of each output in the text of a `dvc.lock`, by path."""
    from ruamel.yaml import YAML

    stages = YAML(typ="safe").load(lock)["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ())}


def print_outputs(committed: dict[str, str], clone: Path) -> int:
    """Print of each output that was rebuilt in `clone` whether it is the same bytes; returns how many are not."""
    rebuilt = locked_outputs((clone / "dvc.lock").read_text(encoding="utf-8"))
    differing = 0
    print(f"\n{'output':44} same bytes")
    for path in sorted(path for path in rebuilt if (clone / path).exists()):
        is_same = rebuilt[path] == committed.get(path)
        names_runs = Path(path).name in NAMES_RUNS
        differing += not is_same and not names_runs
        print(f"{path:44} {'yes' if is_same else 'not compared: names runs' if names_runs else 'NO'}")
    print(f"{differing or 'no'} outputs differ", flush=True)
    return differing


def print_scores(clone: Path, families: list[str]) -> int:
    """Print the committed and the rebuilt scores; returns how many differ by more than a processor explains."""
    too_much = 0
    print(f"\n{'family':10} {'score':32} {'committed':>12} {'rebuilt':>12}")
    for family in families:
        path = f"reports/{family}/metrics.json"
        committed, rebuilt = json.loads(committed_file(path)), read_json(clone / path)
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
