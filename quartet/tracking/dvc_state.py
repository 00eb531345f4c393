"""What DVC knows about the running stage: experiment, revision, checksums, the `dvc` process itself."""

import functools
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from ruamel.yaml import YAML

from quartet.artifacts.checksums import dvc_md5
from quartet.artifacts.writing import read_json

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem


def tags(stage: str, dependencies: Iterable[Path]) -> dict[str, str]:
    """Tags that lead from a run to the DVC state it belongs to."""
    state = {
        "dvc.stage": stage,
        "dvc.exp_name": experiment() or "",
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "dvc.root": os.environ.get("DVC_ROOT", ""),
        "mlflow.source.git.commit": git_output("rev-parse", "HEAD"),
        "git.dirty": str(dirty()).lower(),
        **checksums("dvc.dep", dependencies),
    }
    return {key: value for key, value in state.items() if value}


def checksums(prefix: str, files: Iterable[Path]) -> dict[str, str]:
    """`prefix.path` → the checksum under which DVC stores the file or folder."""
    return {f"{prefix}.{path.as_posix()}": dvc_md5(path) for path in files if path.exists()}


def commit_tags() -> dict[str, str]:
    """The commit of this checkout, and whether it holds other changes."""
    state = {"git.commit": git_output("rev-parse", "HEAD"), "git.dirty": str(dirty()).lower()}
    return {key: value for key, value in state.items() if value}


def experiment() -> str | None:
    """The name of the DVC experiment that this process belongs to."""
    return os.environ.get("DVC_EXP_NAME") or None


def parent_key() -> str | None:
    """What the stages of one `dvc repro` or experiment have in common; None for a stage run by hand."""
    name = experiment()
    if name:
        return f"experiment {name} on {os.environ.get('DVC_EXP_BASELINE_REV', '')}"
    for ancestor in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in ancestor.cmdline()[:2]) or "dvc" in ancestor.cmdline()[1:3]:
                return f"dvc process {ancestor.pid} started {ancestor.create_time():.2f}"
        except psutil.Error:
            continue
    return None


def locked_checksum(path: Path, revision: str = "HEAD") -> str | None:
    """The checksum that `dvc.lock` of a commit or experiment names for an output; None if it names none.

    Raises:
        ValueError: there is no such commit or experiment.
    """
    for stage in _locked_stages(revision).values():
        for out in stage.get("outs", ()):
            if out["path"] == path.as_posix():
                return out["md5"]
    return None


def locked_dependencies(stage: str, revision: str = "HEAD") -> dict[str, str]:
    """By path the checksums of what a stage read, as `dvc.lock` of a commit or experiment says.

    Raises:
        ValueError: there is no such commit or experiment.
    """
    return {part["path"]: part["md5"] for part in _locked_stages(revision).get(stage, {}).get("deps", ())}


@functools.cache
def _locked_stages(revision: str) -> dict[str, dict]:
    files = _at(revision)
    lock = YAML(typ="safe").load(files.read_text("dvc.lock")) if files.exists("dvc.lock") else {}
    return lock.get("stages", {})


def read_json_at(path: Path, revision: str | None) -> dict:
    """A JSON file of a commit or experiment, or of the workspace; `{}` where it is missing.

    Raises:
        ValueError: there is no such commit or experiment.
    """
    if revision is None:
        return read_json(path) if path.exists() else {}
    try:
        return json.loads(_at(revision).read_text(path.as_posix()))
    except FileNotFoundError:
        return {}


def tag_commit(name: str, message: str) -> None:
    """An annotated git tag at HEAD (DVC finds no other kind); one that is there already stays.

    Raises:
        ValueError: git refuses.
    """
    if git_output("tag", "--list", name):
        return
    done = subprocess.run(["git", "tag", "--annotate", name, "--message", message], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git tag {name}: {done.stderr.strip()}")


@functools.cache
def _at(revision: str) -> "DVCFileSystem":
    """The repository's files in a commit or experiment, those in DVC's cache included."""
    from dvc.api import DVCFileSystem
    from dvc.scm import RevError

    files = DVCFileSystem(".", rev=revision)
    try:
        _ = files.repo  # the revision is looked up only here
    except RevError as error:
        raise ValueError(f"there is no commit or experiment {revision!r} here") from error
    return files


def dirty() -> bool:
    """Whether tracked files differ from the commit."""
    return bool(git_output("status", "--porcelain", "--untracked-files=no"))


def git_output(*arguments: str) -> str:
    """What git prints; nothing, if it fails or is not there."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
