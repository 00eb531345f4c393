"""A commit is rebuilt elsewhere and compared: equal bytes, and other bytes with other scores."""

import json
import shutil
import subprocess

import pytest
from ruamel.yaml import YAML
from temporary_clone import copy_of_the_built

from quartet.artifacts.checksums import dvc_md5, files_below
from quartet.tracking.rebuilds import clone_commit, is_close

pytestmark = pytest.mark.pipeline


def test_a_rebuild_is_compared_with_the_commit(tmp_path_factory):
    clone = copy_of_the_built(tmp_path_factory, "verified", with_runs=False)
    yaml, lock, scores = YAML(), clone.folder / "dvc.lock", clone.folder / "reports/cnn/metrics.json"
    stages = yaml.load(lock)
    (model,) = (out for out in stages["stages"]["train-cnn"]["outs"] if out["path"] == "models/cnn")
    model["md5"] = "0" * 32 + ".dir"
    yaml.dump(stages, lock)
    scores.write_text(json.dumps({**json.loads(scores.read_text()), "accuracy": 2.0}))
    clone.commit()
    (clone.folder / "README.md").write_text("changed, and not committed")
    done = clone.quartet("verify", "cnn", check=False)
    assert done.returncode == 1 and "there are uncommitted changes" in done.stdout
    assert "1 outputs differ" in done.stdout and "1 scores differ" in done.stdout
    compared = dict(line.split()[:2] for line in done.stdout.splitlines() if line.startswith(("models/", "reports/")))
    assert compared["models/cnn"] == "NO" and not {"models/lm", "reports/lm/metrics.json"} & set(compared)
    assert compared["reports/cnn/metrics.json"] == compared["reports/cnn/training.csv"] == "yes"


def test_scores_are_close_up_to_what_a_processor_explains():
    assert is_close(0.9, 0.881) and not is_close(0.9, 0.7) and not is_close(0.9, None)
    assert is_close(40.0, 43.9) and not is_close(40.0, 45.0)


def test_data_of_ones_own_is_that_of_the_workspace(tmp_path, monkeypatch):
    home, clone = tmp_path / "home", tmp_path / "elsewhere/clone"
    for name in ("dvc.lock", "data/own/images/.gitkeep", "data/own/text/.gitkeep"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    monkeypatch.chdir(home)
    commit = ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "state"]
    for command in (["init", "-q"], ["add", "-A"], commit):
        subprocess.run(["git", *command], check=True)
    (home / "data/own/images/animals/cats").mkdir(parents=True)
    (home / "data/own/images/animals/cats/1.png").write_bytes(b"a picture")
    clone_commit(home, clone)
    own = [path.relative_to(clone / "data/own").as_posix() for path in files_below(clone / "data/own/images")]
    assert own == ["images/.gitkeep", "images/animals/cats/1.png"]
    assert dvc_md5(clone / "data/own/images") == dvc_md5(home / "data/own/images")
    shutil.rmtree(clone.parent)
    assert (home / "data/own/images/animals/cats/1.png").read_bytes() == b"a picture"


def test_without_a_committed_lock_there_is_nothing_to_compare_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(ValueError, match=r"dvc\.lock is not in the last commit"):
        clone_commit(tmp_path, tmp_path / "clone")
