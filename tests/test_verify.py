"""A commit is rebuilt elsewhere and compared: equal bytes, and other bytes with other scores."""

import json

import pytest
from ruamel.yaml import YAML
from temporary_clone import copy_of_the_built

from quartet.commands.verify import is_close

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
    assert compared["models/cnn"] == "NO" and "models/lm" not in compared
    assert compared["reports/cnn/metrics.json"] == compared["reports/cnn/training.csv"] == "yes"


def test_scores_are_close_up_to_what_a_processor_explains():
    assert is_close(0.9, 0.881) and not is_close(0.9, 0.7) and not is_close(0.9, None)
    assert is_close(40.0, 43.9) and not is_close(40.0, 45.0)
