"""The stages of the text-to-image family with every objective, and pictures on the command line."""

import dataclasses
import json

import pytest
import torch
from in_process import run
from PIL import Image

from quartet.artifacts.verification import write_described
from quartet.datasets import images as image_store
from quartet.datasets.images import load_images
from quartet.families import FAMILIES
from quartet.settings import read_settings
from quartet.text_to_image import evaluation
from quartet.text_to_image.captions.templates import UNSEEN_TEMPLATES

PARAMS = """
train_cnn: {{steps: 40, validate_every: 20, width: 8}}
train_diffusion:
  {{objective: {objective}, noise_schedule: {schedule}, steps: 6, validate_every: 3, width: 8, text_width: 16,
    matcher: {matcher}, norm_groups: {groups}}}
evaluate:
  {{diffusion: {{images: 60, swept_images: 30, steps: 3, guidance: 1.5, sampler: {sampler}, rejection: {rejection},
    classifiers: 2, classifier_steps: {classifier_steps}}}}}
"""
SCORES = {"fidelity", "fidelity_unseen_templates", "judge_accuracy", "fid_ratio", "variance_ratio", "copy_rate"}
SCORES |= {"copy_rate_test", "cas_accuracy", "cas_accuracy_real", "network_evaluations", "parameters"}
PICTURES = {"samples.png", "forward_process.png", "reverse_process.png", "animation.gif", "neighbours.png"}
PICTURES |= {"sweep.png", "steps.png", "interpolation.png"}


def settings(objective, schedule, sampler, matcher=False, classifier_steps=20):
    how = {"objective": objective, "schedule": schedule, "sampler": sampler, "matcher": str(matcher).lower()}
    how["classifier_steps"] = classifier_steps
    # With the matcher also the layout of one group, as the benchmark trains.
    how |= {"rejection": 0.5, "groups": 1} if matcher else {"rejection": 0.0, "groups": 8}
    return PARAMS.format(**how)


def sections(folder):
    """The settings that the evaluation reads."""
    settings = read_settings(folder / "params.yaml")
    return [settings.section(name) for name in FAMILIES["diffusion"].evaluation_reads]


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
    # Classifiers that learn take a while: those of one objective do.
    classifier_steps = 300 if sampler == "heun" else 20
    (digits / "params.yaml").write_text(settings(objective, schedule, sampler, matcher, classifier_steps))
    run(digits, "stages.train_diffusion")
    run(digits, "stages.evaluate", "diffusion")
    report = digits / "reports/diffusion"
    scores = json.loads((report / "metrics.json").read_text())
    assert set(scores) >= SCORES
    # With the matcher half of the pictures are left out, after a look at each.
    assert scores["network_evaluations"] == {"heun": 10, "euler": 2 * (6 + 1), "ddpm": 6, "ddim": 6}[sampler]
    # Several classifiers, which differ by their seed.
    assert scores["cas_accuracy_real_spread"] > 0 and scores["cas_accuracy_spread"] > 0
    if sampler == "heun":
        assert scores["cas_accuracy_real"] > 0.8 and scores["cas_accuracy_real_spread"] < 0.1
    assert scores["copy_rate_test"] < 0.1
    assert {path.name for path in (report / "evaluation").iterdir()} >= PICTURES

    asked = ("quartet", "draw", "a handwritten seven", "the two", "--count", "3", "--steps", "2", "--sampler", sampler)
    asked = (*asked, "--rejection", "0")
    run(digits, *asked, "--out", "first.png")
    run(digits, *asked, "--out", "second.png")
    run(digits, *asked, "--out", "other.png", "--seed", "1")
    run(digits, *asked, "--out", "picked.png", "--rejection", "0.5")
    names = ("first", "second", "other", "picked")
    first, second, other, picked = ((digits / f"{name}.png").read_bytes() for name in names)
    assert first == second != other != picked != first
    assert Image.open(digits / "picked.png").size == Image.open(digits / "first.png").size
    assert Image.open(digits / "first.png").size == (3 * 8 * 8 + 2 * 4, 2 * 8 * 8 + 4)


def test_drawing_follows_the_settings(digits):
    how = read_settings(digits / "params.yaml").section("evaluate.diffusion")  # of the model that was trained last
    assert (how.steps, how.guidance) == (3, 1.5)
    spoken = ("--steps", "3", "--guidance", "1.5", "--temperature", str(how.temperature))
    spoken = (*spoken, "--rejection", str(how.rejection), "--sampler", how.sampler)
    run(digits, "quartet", "draw", "seven", "--out", "silent.png")
    run(digits, "quartet", "draw", "seven", "--out", "spoken.png", *spoken)
    run(digits, "quartet", "draw", "seven", "--out", "other.png", "--steps", "4")
    silent, spoken, other = ((digits / f"{name}.png").read_bytes() for name in ("silent", "spoken", "other"))
    assert silent == spoken != other


@pytest.mark.parametrize("drawn", ["copies", "one picture"])
def test_scores_are_of_the_pictures_drawn(digits, monkeypatch, drawn):
    monkeypatch.chdir(digits)
    how, trained, classifier = sections(digits)
    train, labels = load_images(digits / "data/processed/images", "train")

    def draw_instead(network, captions, templates, how, generator, batch_size):
        numbers = torch.arange(how.images) if drawn == "copies" else torch.zeros(how.images, dtype=torch.long)
        asked = labels[numbers] if drawn == "copies" else torch.arange(how.images) % 10
        # For captions in unseen sentences others than those asked for.
        return train[numbers + (templates is UNSEEN_TEMPLATES)], asked, torch.zeros(how.images, dtype=torch.long)

    monkeypatch.setattr(evaluation, "draw_classes", draw_instead)
    if drawn == "one picture":  # of a set that is larger than memory
        monkeypatch.setattr(image_store, "free_memory", lambda: 1000)
    how = dataclasses.replace(how, images=1000, classifiers=2, classifier_steps=300)
    scores = evaluation.evaluate(
        how,
        trained,
        classifier,
        folder=digits / "reports/diffusion",
        batch_size=256,
        seed=0,
        device=torch.device("cpu"),
    )
    assert scores["copy_rate"] == 1 and scores["copy_rate_test"] < 0.1
    if drawn == "copies":
        assert scores["fidelity"] == pytest.approx(scores["judge_accuracy"], abs=0.1)
        assert scores["fidelity_unseen_templates"] < scores["fidelity"] - 0.4
        assert scores["variance_ratio"] == pytest.approx(1, abs=0.05) and scores["fid_ratio"] < 2
        assert scores["cas_accuracy"] > 0.9
    else:
        assert scores["fidelity"] == pytest.approx(0.1) and scores["variance_ratio"] == 0 and scores["fid_ratio"] > 10
        assert scores["cas_accuracy"] < 0.3 and scores["cas_accuracy_real"] > 0.9


def test_classes_of_one_training_image_are_refused_before_any_is_drawn(digits, monkeypatch):
    monkeypatch.chdir(digits)
    images, labels = load_images(digits / "data/processed/images", "train")
    single = torch.stack([(labels == label).nonzero()[0, 0] for label in labels.unique()])
    monkeypatch.setattr(evaluation, "open_images", lambda folder, split, device: (images[single], labels[single]))
    with pytest.raises(ValueError, match="every class has one training image"):
        evaluation.evaluate(
            *sections(digits), folder=digits / "reports/diffusion", batch_size=256, seed=0, device=torch.device("cpu")
        )


def test_a_judge_of_other_images_is_refused(digits):
    card = digits / "models/cnn/card.json"
    text = card.read_text()
    about = {name: value for name, value in json.loads(text).items() if name != "digest"}
    write_described(card, about | {"data": about["data"] | {"sha256": "0" * 64}})
    try:
        told = run(digits, "stages.evaluate", "diffusion", code=1)
    finally:
        card.write_text(text)
    assert "models/cnn was not trained on the data that is now in data/processed/images" in told


def test_too_few_pictures_are_refused_before_any_is_drawn(digits):
    text = (digits / "params.yaml").read_text()
    (digits / "params.yaml").write_text(text.replace("images: 60", "images: 19"))
    assert "evaluate.diffusion.images: found 19" in run(digits, "stages.evaluate", "diffusion", code=1)
    (digits / "params.yaml").write_text(text)


def test_what_cannot_be_drawn_is_said(digits):
    assert "has no words" in run(digits, "quartet", "draw", "?!", code=2)
    assert "seven" in run(digits, "quartet", "draw", "a handwritten sevn", code=2)
    long = "please draw a picture of a handwritten seven"
    assert "reads at most" in run(digits, "quartet", "draw", long, code=2)
    (digits / "params.yaml").write_text(settings("v", "linear", "euler"))
    assert "the objective 'v' allows ddim, ddpm" in run(digits, "stages.train_diffusion", code=2)
