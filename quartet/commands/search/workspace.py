"""The user's workspace, which DVC changes for a moment while it copies it for an experiment.

DVC puts uncommitted changes into Git's stash, detaches HEAD, writes the experiment's settings, and takes all of it
back. Where it is stopped or killed meanwhile, some of that stays.
"""

import json
import subprocess
import time
from pathlib import Path
from typing import Any, TypedDict

from quartet.artifacts.processes import living
from quartet.tracking.dvc_state import dirty, git_output

_LOCKS = Path(".dvc/tmp/exps/rwlock")  # of DVC; a process that was killed stays named in it


class WorkspaceState(TypedDict):
    """The branch that is checked out, Git's newest stash, and whether files are changed."""

    branch: str
    stash: str
    dirty: bool


def workspace_state() -> WorkspaceState:
    """The state now; waits up to a minute while DVC copies the workspace."""
    deadline = time.monotonic() + 60
    while (copying := _copying()) and living(copying["pid"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {
        "branch": git_output("symbolic-ref", "--quiet", "HEAD"),
        "stash": git_output("rev-parse", "--quiet", "--verify", "refs/stash"),
        "dirty": dirty(),
    }


def attach_head(before: WorkspaceState) -> None:
    """Put HEAD back on its branch: told to stop between detaching it and its own `try`, DVC leaves it detached."""
    if _head_is_left_detached(before):
        git_output("symbolic-ref", "HEAD", before["branch"])


def restore(before: WorkspaceState, experiment: str) -> bool:
    """Whether DVC was killed while it copied the workspace for this experiment, and the workspace now is as before.

    What lies there, the experiment's settings and whatever was changed since, is kept in Git's stash.

    Raises:
        ValueError: Git cannot.
    """
    copying = _copying()
    if experiment not in copying.get("cmd", "").split() or living(copying["pid"]):
        return False
    put_away = _changes_put_away(before)
    if not put_away and not _head_is_left_detached(before):  # DVC had not begun, or the user has taken it back
        return False
    _git("stash", "push", "--message", f"left by {experiment}, which was killed")
    if put_away:
        _git("stash", "pop", "--index", f"stash@{{{_stash().index(put_away)}}}")
    attach_head(before)
    return True


def _copying() -> dict[str, Any]:
    """The `pid` and the `cmd` of the process that DVC's locks name as the one that changes the workspace, if any."""
    try:
        return json.loads(_LOCKS.read_text(encoding="utf-8"))["write"]["workspace"]
    except (OSError, ValueError, KeyError):
        return {}


def _head_is_left_detached(before: WorkspaceState) -> bool:
    """As DVC detaches it: at the commit of its branch."""
    detached = not git_output("symbolic-ref", "--quiet", "HEAD")
    at = git_output("rev-parse", "HEAD")
    return bool(before["branch"]) and detached and at == git_output("rev-parse", before["branch"])


def _changes_put_away(before: WorkspaceState) -> str:
    """The entry of Git's stash that has the user's changes: the first one after those that were there before."""
    entries, known = _stash(), before["stash"]
    newer = entries[: entries.index(known) if known in entries else 0] if known else entries
    return newer[-1] if before["dirty"] and newer else ""


def _stash() -> list[str]:
    """The commits of the entries, the newest first."""
    return _git("stash", "list", "--format=%H").split()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or "is .git/index.lock left from a Git that was killed?"
        raise ValueError(f"`git {' '.join(arguments)}` failed: {said}")
    return done.stdout
