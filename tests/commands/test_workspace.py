"""The workspace after an experiment that ended while DVC copied it; what DVC does is done here by hand."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from quartet.commands.search.workspace import attach_head, restore, workspace_state

BRANCH = "refs/heads/mine"
TRIAL = "widths-3"


def git(*arguments):
    who = ("-c", "user.name=me", "-c", "user.email=me@here")
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def stash():
    return git("stash", "list", "--format=%H").split()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository on a branch, with two files and one commit."""
    monkeypatch.chdir(tmp_path)
    git("init", "--initial-branch", "mine")
    for name in ("params.yaml", "code.py"):
        Path(name).write_text("committed\n")
    Path(".gitignore").write_text(".dvc/tmp\n")
    git("add", ".")
    git("commit", "-m", "first")


def lock(pid, experiment=TRIAL):
    """As DVC does for as long as it changes the workspace."""
    Path(".dvc/tmp/exps").mkdir(parents=True, exist_ok=True)
    command = f"dvc exp run --temp --name {experiment} -S train_cnn.width=5 train-cnn"
    Path(".dvc/tmp/exps/rwlock").write_text(
        json.dumps({"read": {}, "write": {"workspace": {"pid": pid, "cmd": command}}})
    )


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def change(changes):
    for kind in changes:
        Path("code.py").write_text(f"{kind}\n")
        if kind == "staged":
            git("add", "code.py")


def copy_until(moment):
    """What DVC does, up to a moment."""
    if git("status", "--short", "--untracked-files=no"):
        git("stash", "push")
    if moment == "stashed":
        return
    git("checkout", "--detach")
    if stash() and moment != "detached":
        git("stash", "apply")
    if moment == "written":
        Path("params.yaml").write_text("the trial's\n")


def test_a_head_that_dvc_left_detached_goes_back_to_its_branch_and_no_further(repository):
    before = workspace_state()
    assert before == {"branch": BRANCH, "stash": "", "dirty": False}
    git("checkout", "--detach")
    attach_head(before)
    assert git("symbolic-ref", "HEAD") == BRANCH
    git("commit", "--allow-empty", "-m", "second")
    git("checkout", "--detach", "HEAD~1")  # what lies there is not what the branch has
    attach_head(before)
    assert git("rev-parse", "HEAD") != git("rev-parse", "mine")


@pytest.mark.parametrize("older", [False, True], ids=["no stash before", "a stash before"])
@pytest.mark.parametrize("changes", [("staged",), ("staged", "unstaged")], ids=str)
@pytest.mark.parametrize("moment", ["stashed", "detached", "applied", "written"])
def test_a_workspace_with_changes_is_given_back_as_it_was(repository, dead, older, changes, moment):
    if older:
        Path("code.py").write_text("put away long ago\n")
        git("stash", "push")
    change(changes)
    before, status, entries = workspace_state(), git("status", "--short"), stash()
    lock(dead)
    copy_until(moment)
    left = git("diff", "HEAD")

    assert restore(before, TRIAL)
    assert workspace_state()["branch"] == BRANCH and git("status", "--short") == status
    assert Path("params.yaml").read_text() == "committed\n" and Path("code.py").read_text() == f"{changes[-1]}\n"
    if left:
        assert git("diff", "HEAD", "stash@{0}") == left and f"left by {TRIAL}" in git("stash", "list")
        git("stash", "drop")
    assert stash() == entries
    assert not restore(before, TRIAL)


def test_a_workspace_without_changes_is_given_back_as_it_was(repository, dead):
    before = workspace_state()
    lock(dead)
    copy_until("written")
    assert restore(before, TRIAL)
    assert {**workspace_state(), "stash": ""} == before and len(stash()) == 1
    assert not restore(before, TRIAL)


def test_an_entry_that_the_user_made_since_stays(repository, dead):
    change(["staged"])
    before = workspace_state()
    lock(dead)
    copy_until("written")
    git("stash", "push", "--message", "since")
    assert restore(before, TRIAL)
    assert Path("code.py").read_text() == "staged\n" and Path("params.yaml").read_text() == "committed\n"
    assert "since" in git("stash", "list") and len(stash()) == 1


@pytest.mark.parametrize("whose", ["nobody", "another trial", "a living process", "a damaged file"])
def test_a_workspace_that_this_trial_did_not_leave_is_left_alone(repository, dead, whose):
    change(["staged"])
    before = workspace_state()
    if whose == "another trial":
        lock(dead, "widths-33")
    elif whose == "a living process":
        lock(os.getpid())
    elif whose == "a damaged file":
        lock(dead)
        Path(".dvc/tmp/exps/rwlock").write_text("{")
    copy_until("written")
    left = git("diff", "HEAD")
    assert not restore(before, TRIAL)
    assert git("diff", "HEAD") == left and len(stash()) == 1


def test_what_the_user_has_taken_back_is_left_alone(repository, dead):
    change(["unstaged"])
    before = workspace_state()
    lock(dead)
    copy_until("written")
    git("reset", "--hard")
    git("checkout", "mine")
    git("stash", "pop")
    Path("code.py").write_text("changed since\n")
    assert not restore(before, TRIAL)
    assert Path("code.py").read_text() == "changed since\n" and not stash()


def test_what_git_cannot_do_is_said_and_can_be_done_later(repository, dead):
    change(["staged"])
    before, status = workspace_state(), git("status", "--short")
    lock(dead)
    copy_until("written")
    held = Path(".git/index.lock")
    held.touch()
    with pytest.raises(ValueError, match=r"`git stash push .*` failed: .*index\.lock"):
        restore(before, TRIAL)
    held.unlink()
    assert restore(before, TRIAL) and git("status", "--short") == status
