"""The stages of the text-to-image family with every objective, and pictures on the command line."""

import json
import os
import subprocess
import sys

import pytest
from code_imports import TOP
from PIL import Image

PARAMS = """
train_cnn: {{steps: 40, validate_every: 20, width: 8}}
train_diffusion:
  {{objective: {objective}, noise_schedule: {schedule}, steps: 6, validate_every: 3, width: 8, text_width: 16,
    matcher: {matcher}, norm_groups: {groups}}}
evaluate:
  {{diffusion: {{images: 60, swept_images: 30, steps: 3, guidance: 1.5, sampler: {sampler}, rejection: {rejection}}}}}
"""
SCORES = {"fidelity", "fidelity_unseen_templates", "judge_accuracy", "fid_ratio", "variance_ratio", "copy_rate"}
SCORES |= {"copy_rate_test", "cas_accuracy", "cas_accuracy_real", "network_evaluations", "parameters"}
PICTURES = {"samples.png", "forward_process.png", "reverse_process.png", "animation.gif", "neighbours.png"}
PICTURES |= {"sweep.png", "steps.png"}


def settings(objective, schedule, sampler, matcher=False):
    how = {"objective": objective, "schedule": schedule, "sampler": sampler, "matcher": str(matcher).lower()}
    # With the matcher also the layout of one group, as the benchmark trains.
    how |= {"rejection": 0.5, "groups": 1} if matcher else {"rejection": 0.0, "groups": 8}
    return PARAMS.format(**how)


def run(folder, *command, code=0):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TOP), "QUARTET_TRACKING": "off"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with the digits and a judge, for all objectives."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "params.yaml").write_text(settings("flow", "cosine", "euler"))
    for stage in ("download", "preprocess"):
        run(folder, f"stages.{stage}", "images")
    run(folder, "stages.train_cnn")
    return folder


@pytest.mark.parametrize(
    ("objective", "schedule", "sampler", "matcher"),
    [
        ("flow", "cosine", "heun", False),
        ("flow", "cosine", "euler", True),
        ("epsilon", "linear", "ddpm", False),
        ("v", "cosine", "ddim", False),
    ],
)
def test_an_objective_is_trained_scored_and_drawn(digits, objective, schedule, sampler, matcher):
    (digits / "params.yaml").write_text(settings(objective, schedule, sampler, matcher))
    run(digits, "stages.train_diffusion")
    run(digits, "stages.evaluate", "diffusion")
    report = digits / "reports/diffusion"
    scores = json.loads((report / "metrics.json").read_text())
    assert set(scores) >= SCORES
    # With the matcher half of the pictures are left out, after a look at each.
    assert scores["network_evaluations"] == {"heun": 10, "euler": 2 * (6 + 1), "ddpm": 6, "ddim": 6}[sampler]
    # Several classifiers, which differ by their seed.
    assert 0 < scores["cas_accuracy_real_spread"] < 0.05 and scores["cas_accuracy_spread"] > 0
    assert scores["cas_accuracy_real"] > 0.8 and scores["copy_rate_test"] < 0.1
    assert {path.name for path in (report / "evaluation").iterdir()} >= PICTURES

    asked = ("quartet", "draw", "a handwritten seven", "the two", "--count", "3", "--steps", "2", "--sampler", sampler)
    run(digits, *asked, "--out", "first.png")
    run(digits, *asked, "--out", "second.png")
    run(digits, *asked, "--out", "other.png", "--seed", "1")
    run(digits, *asked, "--out", "picked.png", "--rejection", "0.5")
    names = ("first", "second", "other", "picked")
    first, second, other, picked = ((digits / f"{name}.png").read_bytes() for name in names)
    assert first == second != other != picked != first
    assert Image.open(digits / "picked.png").size == Image.open(digits / "first.png").size
    assert Image.open(digits / "first.png").size == (3 * 8 * 8, 2 * 8 * 8)


def test_what_cannot_be_drawn_is_said(digits):
    assert "seven" in run(digits, "quartet", "draw", "a handwritten sevn", code=1)
    long = "please draw a picture of a handwritten seven"
    assert "reads at most" in run(digits, "quartet", "draw", long, code=1)
    (digits / "params.yaml").write_text(settings("v", "linear", "euler"))
    assert "allowed for the objective 'v' is ddim, ddpm" in run(digits, "stages.train_diffusion", code=2)
