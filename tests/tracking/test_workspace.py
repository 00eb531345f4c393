"""The workspace after an experiment that ended while DVC copied it; what DVC does is done here by hand."""

import subprocess
from pathlib import Path

import pytest

from quartet.tracking.workspace import attach_head, restore, workspace_state

BRANCH = "refs/heads/mine"


def git(*arguments):
    who = ("-c", "user.name=me", "-c", "user.email=me@here")
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository on a branch, with two files and one commit."""
    monkeypatch.chdir(tmp_path)
    git("init", "--initial-branch", "mine")
    for name in ("params.yaml", "code.py"):
        Path(name).write_text("committed\n")
    git("add", ".")
    git("commit", "-m", "first")


def test_a_head_that_dvc_left_detached_goes_back_to_its_branch_and_no_further(repository):
    before = workspace_state()
    assert before == {"branch": BRANCH, "stash": ""}
    git("checkout", "--detach")
    attach_head(before)
    assert git("symbolic-ref", "HEAD") == BRANCH
    git("commit", "--allow-empty", "-m", "second")
    git("checkout", "--detach", "HEAD~1")  # what lies there is not what the branch has
    attach_head(before)
    assert git("rev-parse", "HEAD") != git("rev-parse", "mine")


@pytest.mark.parametrize("older", [False, True], ids=["no stash before", "a stash before"])
@pytest.mark.parametrize("changes", [(), ("staged",), ("staged", "unstaged")], ids=str)
@pytest.mark.parametrize("settings", ["committed\n", "the trial's\n"], ids=["settings unchanged", "settings changed"])
def test_a_workspace_is_given_back_as_it_was_before_dvc_was_killed(repository, older, changes, settings):
    if older:
        Path("code.py").write_text("put away long ago\n")
        git("stash", "push")
    for change in changes:
        Path("code.py").write_text(f"{change}\n")
        if change == "staged":
            git("add", "code.py")
    before, status, stash = workspace_state(), git("status", "--short"), git("stash", "list", "--format=%H")
    if changes:
        git("stash", "push")
    git("checkout", "--detach")
    if changes:
        git("stash", "apply")
    Path("params.yaml").write_text(settings)
    left = git("diff", "HEAD")

    assert restore(before)
    assert workspace_state()["branch"] == BRANCH and git("status", "--short") == status
    assert Path("params.yaml").read_text() == "committed\n"
    assert Path("code.py").read_text() == (f"{changes[-1]}\n" if changes else "committed\n")
    if left:
        assert git("diff", "HEAD", "stash@{0}") == left
        git("stash", "drop")
    assert git("stash", "list", "--format=%H") == stash
    assert not restore(before)


def test_a_workspace_where_dvc_was_not_at_work_is_left_alone(repository):
    before = workspace_state()
    Path("params.yaml").write_text("changed since\n")
    assert not restore(before) and not restore({})
    git("checkout", "--detach")
    git("commit", "--all", "-m", "elsewhere")
    Path("code.py").write_text("changed since\n")
    assert not restore(before)
    assert Path("params.yaml").read_text() == Path("code.py").read_text() == "changed since\n"


def test_what_git_cannot_do_is_said(repository):
    before = workspace_state()
    git("checkout", "--detach")
    Path("params.yaml").write_text("the trial's\n")
    Path(".git/index.lock").touch()
    with pytest.raises(ValueError, match=r"`git stash push .*` failed"):
        restore(before)
    assert Path("params.yaml").read_text() == "the trial's\n"
