"""The user's workspace, which DVC changes for a moment while it copies it for an experiment.

DVC puts uncommitted changes into Git's stash, detaches HEAD, writes the experiment's settings, and takes all of it
back. Where it is stopped or killed meanwhile, some of that stays.
"""

import subprocess
from collections.abc import Mapping

from quartet.tracking.dvc_state import git_output


def workspace_state() -> dict[str, str]:
    """The branch that is checked out and the newest entry of Git's stash; empty where there is none."""
    return {
        "branch": git_output("symbolic-ref", "--quiet", "HEAD"),
        "stash": git_output("rev-parse", "--quiet", "--verify", "refs/stash"),
    }


def attach_head(before: Mapping[str, str]) -> None:
    """Put HEAD back on its branch: told to stop between detaching it and its own `try`, DVC leaves it detached."""
    if _head_is_left_detached(before["branch"]):
        git_output("symbolic-ref", "HEAD", before["branch"])


def restore(before: Mapping[str, str]) -> bool:
    """Whether DVC was killed while it copied the workspace, which then is given back as it was before.

    What lies there, the experiment's settings and whatever was changed since, is kept in Git's stash.

    Raises:
        ValueError: Git cannot.
    """
    if not _head_is_left_detached(before.get("branch", "")):
        return False
    stash = workspace_state()["stash"]
    _git("stash", "push", "--message", "left by an experiment that was killed")
    if stash != before["stash"]:  # the user's changes
        entries = _git("stash", "list", "--format=%H").split()
        _git("stash", "pop", "--index", f"stash@{{{entries.index(stash)}}}")
    attach_head(before)
    return True


def _head_is_left_detached(branch: str) -> bool:
    """As DVC detaches it: at the commit of its branch."""
    detached = not git_output("symbolic-ref", "--quiet", "HEAD")
    return bool(branch) and detached and git_output("rev-parse", "HEAD") == git_output("rev-parse", branch)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout
