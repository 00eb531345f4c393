"""Restore the user's workspace, which DVC changes for a moment while it copies it for an experiment.

DVC puts uncommitted changes into Git's stash, detaches HEAD, writes the experiment's settings, and then undoes all of
this. If it is stopped or killed in between, some of the changes remain.
"""

import json
import subprocess
import time
from pathlib import Path
from typing import Any, TypedDict

from quartet.artifacts.processes import find_process
from quartet.tracking.dvc_state import dirty, git_output

_LOCKS = Path(".dvc/tmp/exps/rwlock")  # DVC's lock file, which still names a process after it was killed


class WorkspaceState(TypedDict):
    """The current branch, the newest entry of Git's stash, and whether there are uncommitted changes."""

    branch: str
    stash: str
    dirty: bool


def workspace_state() -> WorkspaceState:
    """The current state; waits up to a minute if DVC is copying the workspace."""
    deadline = time.monotonic() + 60
    while (copying := _copying()) and find_process(copying["pid"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {
        "branch": git_output("symbolic-ref", "--quiet", "HEAD"),
        "stash": git_output("rev-parse", "--quiet", "--verify", "refs/stash"),
        "dirty": dirty(),
    }


def attach_head(before: WorkspaceState) -> None:
    """Put HEAD back on its branch: DVC leaves it detached if it is stopped just after detaching it."""
    if _head_is_left_detached(before):
        git_output("symbolic-ref", "HEAD", before["branch"])


def restore(before: WorkspaceState, experiment: str) -> bool:
    """Restore the workspace if DVC was killed while it copied it for this experiment; returns whether it did.

    Current changes (the experiment's settings, and any changes since) go to Git's stash.

    Raises:
        ValueError: a Git command fails.
    """
    copying = _copying()
    if experiment not in copying.get("cmd", "").split() or find_process(copying["pid"]):
        return False
    stashed = _stashed_changes(before)
    if not stashed and not _head_is_left_detached(before):  # DVC had not started, or the user has undone its changes
        return False
    _git("stash", "push", "--message", f"left by {experiment}, which was killed")
    if stashed:
        _git("stash", "pop", "--index", f"stash@{{{_stash().index(stashed)}}}")
    attach_head(before)
    return True


def _copying() -> dict[str, Any]:
    """The `pid` and `cmd` of the process that has DVC's write lock on the workspace, if any."""
    try:
        return json.loads(_LOCKS.read_text(encoding="utf-8"))["write"]["workspace"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _head_is_left_detached(before: WorkspaceState) -> bool:
    """Whether HEAD is detached at the commit of its branch, as DVC does it."""
    detached = not git_output("symbolic-ref", "--quiet", "HEAD")
    at = git_output("rev-parse", "HEAD")
    return bool(before["branch"]) and detached and at == git_output("rev-parse", before["branch"])


def _stashed_changes(before: WorkspaceState) -> str:
    """The entry of Git's stash with the user's changes: the oldest one that is new since `before`."""
    entries, known = _stash(), before["stash"]
    newer = entries[: entries.index(known) if known in entries else 0] if known else entries
    return newer[-1] if before["dirty"] and newer else ""


def _stash() -> list[str]:
    """The commits of the stash entries, newest first."""
    return _git("stash", "list", "--format=%H").split()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip() or "did a killed Git process leave .git/index.lock?"
        raise ValueError(f"`git {' '.join(arguments)}` failed: {reason}")
    return done.stdout
