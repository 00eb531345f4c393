"""The DVC state of the running stage: experiment, revision, checksums, and the `dvc` process."""

import functools
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from ruamel.yaml import YAML

from quartet.artifacts.checksums import dvc_md5
from quartet.artifacts.errors import BadInput
from quartet.artifacts.json_reading import parse_object
from quartet.artifacts.writing import read_json

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

UNKNOWN = "unknown"


def tags(stage: str, dependencies: Iterable[Path]) -> dict[str, str]:
    """Tags that link a run to its DVC state."""
    state = {
        "dvc.stage": stage,
        "dvc.exp_name": experiment() or "",
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "dvc.root": os.environ.get("DVC_ROOT", ""),
        "mlflow.source.git.commit": _commit(),
        "git.dirty": _dirty_or_unknown(),
        **checksums("dvc.dep", dependencies),
    }
    return {key: value for key, value in state.items() if value}


def checksums(prefix: str, files: Iterable[Path], md5: Callable[[Path], str] = dvc_md5) -> dict[str, str]:
    """The checksum under which DVC stores each file or folder, by `prefix.path`, as `md5` finds it."""
    return {f"{prefix}.{path.as_posix()}": md5(path) for path in files if path.exists()}


def commit_tags() -> dict[str, str]:
    """Tags with the commit of this checkout, and whether it has uncommitted changes; `unknown` where git cannot say."""
    return {"git.commit": _commit(), "git.dirty": _dirty_or_unknown()}


def _commit() -> str:
    return git_output("rev-parse", "HEAD") or UNKNOWN


def _dirty_or_unknown() -> str:
    return UNKNOWN if git_refusal() else str(dirty()).lower()


def experiment() -> str | None:
    """The name of the DVC experiment that this process is part of, if any."""
    return os.environ.get("DVC_EXP_NAME") or None


def parent_key() -> str | None:
    """A key that the stages of one `dvc repro` or experiment share; None for a stage that is run by hand."""
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
    """The checksum of an output in `dvc.lock` of a commit or experiment, or None.

    Raises:
        ValueError: there is no such commit or experiment, or git reads nothing here.
    """
    for stage in _locked_stages(revision).values():
        for out in stage.get("outs", ()):
            if out["path"] == path.as_posix():
                return out["md5"]
    return None


def locked_dependencies(stage: str, revision: str = "HEAD") -> dict[str, str]:
    """The checksums of a stage's dependencies in `dvc.lock` of a commit or experiment, by path.

    Raises:
        ValueError: there is no such commit or experiment, or git reads nothing here.
    """
    return {part["path"]: part["md5"] for part in _locked_stages(revision).get(stage, {}).get("deps", ())}


@functools.cache
def _locked_stages(revision: str) -> dict[str, dict]:
    files = _at(revision)
    lock = YAML(typ="safe").load(files.read_text("dvc.lock")) if files.exists("dvc.lock") else {}
    return lock.get("stages", {})


def read_json_at(path: Path, revision: str | None) -> dict:
    """Read a JSON file of a commit or experiment, or of the workspace (None); `{}` if it is missing.

    Raises:
        ValueError: there is no such commit or experiment, or git reads nothing here.
    """
    if revision is None:
        return read_json(path) if path.exists() else {}
    try:
        text = _at(revision).read_text(path.as_posix())
        return parse_object(text, f"{path} of {revision}", "commit a whole one")
    except FileNotFoundError:
        return {}


def settings_at(revision: str) -> dict:
    """The content of `params.yaml` in a commit or experiment.

    Raises:
        ValueError: there is no such commit or experiment, or git reads nothing here.
    """
    files = _at(revision)
    return YAML(typ="safe").load(files.read_text("params.yaml")) if files.exists("params.yaml") else {}


def experiments_of(revision: str = "HEAD") -> list[str]:
    """The names of the DVC experiments that have this commit as their baseline, without looking elsewhere."""
    commit = git_output("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if not commit:
        return []
    listed = git_output("for-each-ref", "--format=%(refname)", f"refs/exps/{commit[:2]}/{commit[2:]}")
    return [reference.rpartition("/")[2] for reference in listed.splitlines()]


def tag_commit(name: str, message: str) -> None:
    """Create an annotated git tag at HEAD (DVC finds only annotated ones), unless there is one of that name.

    Raises:
        ValueError: git fails.
    """
    if git_output("tag", "--list", name):
        return
    done = subprocess.run(["git", "tag", "--annotate", name, "--message", message], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git tag {name}: {done.stderr.strip()}")


@functools.cache
def _at(revision: str) -> "DVCFileSystem":
    """The repository's files in a commit or experiment, including those in DVC's cache.

    Raises:
        ValueError: there is no such commit or experiment, or git reads nothing here.
    """
    from dvc.api import DVCFileSystem
    from dvc.scm import RevError

    if refusal := git_refusal():
        raise ValueError(f"no commit or experiment can be read here: {refusal}")
    files = DVCFileSystem(".", rev=revision)
    try:
        _ = files.repo  # this looks up the revision
    except RevError as error:
        raise BadInput(f"there is no commit or experiment {revision!r} here") from error
    return files


def dirty() -> bool:
    """Whether tracked files differ from the commit."""
    return bool(git_output("status", "--porcelain", "--untracked-files=no"))


def git_output(*arguments: str) -> str:
    """The output of a git command; empty if git fails or is missing."""
    done = _git(*arguments)
    return done.stdout.strip() if isinstance(done, subprocess.CompletedProcess) and not done.returncode else ""


def git_refusal() -> str | None:
    """Why git reads nothing here, with its advice, as in a checkout that another user owns; None if it does."""
    done = _git("rev-parse", "--git-dir")
    if isinstance(done, subprocess.CompletedProcess):
        return " ".join(done.stderr.split()) if done.returncode else None
    return f"git does not run ({done})"


def _git(*arguments: str) -> "subprocess.CompletedProcess[str] | OSError | subprocess.SubprocessError":
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        return error
