"""What DVC knows about the running stage: experiment, revision, checksums, the `dvc` process itself."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psutil

from quartet.artifacts.checksums import dvc_md5


def tags(stage: str, dependencies: Iterable[Path]) -> dict[str, str]:
    """Tags that lead from a run to the DVC state it belongs to."""
    state = {
        "dvc.stage": stage,
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "dvc.root": os.environ.get("DVC_ROOT", ""),
        "mlflow.source.git.commit": _git("rev-parse", "HEAD"),
        "git.dirty": str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower(),
        **checksums("dvc.dep", dependencies),
    }
    return {key: value for key, value in state.items() if value}


def checksums(prefix: str, files: Iterable[Path]) -> dict[str, str]:
    """`prefix.path` → the checksum under which DVC stores the file or folder."""
    return {f"{prefix}.{path.as_posix()}": dvc_md5(path) for path in files if path.exists()}


def parent_key() -> str | None:
    """What the stages of one `dvc repro` or experiment have in common; None for a stage run by hand."""
    name = os.environ.get("DVC_EXP_NAME")
    if name:
        return f"experiment {name} on {os.environ.get('DVC_EXP_BASELINE_REV', '')}"
    for ancestor in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in ancestor.cmdline()[:2]) or "dvc" in ancestor.cmdline()[1:3]:
                return f"dvc process {ancestor.pid} started {ancestor.create_time():.2f}"
        except psutil.Error:
            continue
    return None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
