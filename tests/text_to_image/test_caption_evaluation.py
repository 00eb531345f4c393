"""Scores of pictures with captions: attribute by attribute, of new compositions, and by retrieval."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import torch
from in_process import run
from PIL import Image

from quartet.datasets import images as image_store
from quartet.images.settings import TrainCnn
from quartet.params.shared import Augmentation
from quartet.text_to_image.attribute_judge import AttributeJudge, attribute_scores
from quartet.text_to_image.captions.attributes import Attributes, attributes_of
from quartet.text_to_image.captions.prompts import PicturePrompts
from quartet.text_to_image.retrieval import contrastive_loss, picture_features, retrieval, trained_matcher

CPU = torch.device("cpu")
SIDES, SHADES = ("left", "middle", "right"), ("bright", "dim")
ATTRIBUTES = Attributes({"side": SIDES, "shade": SHADES}, {"side": ["side"], "shade": ["shade"]})
STILL = Augmentation(rotation=0.0, shift=0.0, brightness=0.0, contrast=0.0)


def bars(count, seed=0):
    """Pictures of 9 pixels with a bar at a side, bright or dim, in noise: `(count, 1, 9, 9)`, and what they show."""
    random = np.random.default_rng(seed)
    shown = np.stack([random.integers(0, 3, count), random.integers(0, 2, count)], axis=1)
    pixels = random.integers(0, 30, (count, 1, 9, 9))
    for picture, (side, shade) in zip(pixels, shown, strict=True):
        picture[:, :, 3 * side : 3 * side + 3] += (200, 90)[shade]
    return torch.tensor(pixels, dtype=torch.uint8), torch.tensor(shown)


def test_compositions_are_unseen_only_if_all_their_parts_were_seen():
    known = torch.tensor([[0, 0], [1, 1]])
    asked = torch.tensor([[0, 0], [0, 1], [1, 0], [2, 0]])  # known, new, new, with a side that nothing known has
    assert ATTRIBUTES.unseen_compositions(known, asked).tolist() == [False, True, True, False]


def test_attributes_of_a_part_count_together():
    info = {
        "attributes": {"letter": ["a", "b"], "case": ["small"], "slant": ["italic"]},
        "compositions": {"character": ["letter", "case"]},
    }
    found = attributes_of(info)
    assert dict(found.parts) == {"character": ["letter", "case"], "slant": ["slant"]}
    assert found.columns("character") == [0, 1] and attributes_of({}).names == []


def test_a_judge_of_attributes_tells_each_of_them():
    settings = TrainCnn(steps=60, batch_size=32, width=8, precision="float32", augmentation=STILL, cutmix=0.5)
    info = {"channels": 1, "size": 9, "mean": [0.3], "std": [0.3]}
    judge = AttributeJudge(ATTRIBUTES, settings, info, bars(300), CPU, seed=0)
    images, shown = bars(100, seed=1)
    assert (judge.seen_in(images) == shown).double().mean(dim=0).min() > 0.95


def test_scores_are_of_each_attribute_and_of_new_compositions_as_a_whole():
    wanted = torch.tensor([[0, 0], [0, 1], [1, 0], [2, 1]])
    seen = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 1]])
    new = torch.tensor([False, True, True, False])
    both = Attributes(ATTRIBUTES.values, {"look": ["side", "shade"]})
    scores = attribute_scores(both, (seen, wanted), (wanted, wanted), (new, new))
    assert (scores["fidelity_side"], scores["fidelity_shade"], scores["fidelity_look"]) == (0.75, 0.75, 0.5)
    assert scores["fidelity_unseen_compositions"] == 0.5 and scores["judge_accuracy_unseen_compositions"] == 1
    none = torch.zeros(4, dtype=torch.bool)
    assert "fidelity_unseen_compositions" not in attribute_scores(both, (seen, wanted), (wanted, wanted), (none, none))


def prompts_of(shown):
    """Ids that say side and shade."""
    return torch.cat([torch.ones(len(shown), 1).long(), shown + torch.tensor([2, 5])], dim=1)


def test_a_matcher_finds_the_captions_of_real_pictures_and_not_of_noise(monkeypatch):
    monkeypatch.setattr("quartet.text_to_image.retrieval.WIDTH", 16)
    images, shown = bars(400)
    prompts = PicturePrompts(prompts_of(shown), torch.ones(len(shown)).long())
    matcher = trained_matcher(images, prompts, vocabulary_size=8, words=3, steps=50, seed=0)
    captions = torch.cartesian_prod(torch.arange(3), torch.arange(2))  # of the six kinds of pictures
    test, shown = bars(60, seed=1)
    owners = (shown[:, None] == captions).all(dim=2).int().argmax(dim=1)
    found, near = retrieval(matcher, picture_features(matcher, test, 16), owners, prompts_of(captions), seed=0)
    assert found > 0.9 and near >= found
    noise = torch.randint(0, 255, test.shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert retrieval(matcher, picture_features(matcher, noise, 16), owners, prompts_of(captions), seed=0)[0] < 0.5
    twice = prompts_of(torch.cat([captions, captions]))
    assert retrieval(matcher, picture_features(matcher, test, 16), owners + 6, twice, seed=0) == (found, near)


def test_among_many_captions_a_picture_is_compared_with_some_drawn_at_random(monkeypatch):
    monkeypatch.setattr("quartet.text_to_image.retrieval.AMONG", 2)
    monkeypatch.setattr("quartet.text_to_image.retrieval.DRAWS", 200)
    monkeypatch.setattr("quartet.text_to_image.retrieval.NEAR", 2)
    matcher = SimpleNamespace(features_of_captions=lambda captions: torch.eye(6)[captions[:, 0]])
    everything = torch.arange(6)
    right = retrieval(matcher, torch.eye(6), everything, everything[:, None], seed=0)
    assert right == (1.0, 1.0)
    # A picture that looks like another caption is mistaken whenever that one is drawn too: one time in five.
    first, near = retrieval(matcher, torch.eye(6).roll(1, 0), everything, everything[:, None], seed=0)
    assert 0.7 < first < 0.9 and near == 1.0


def test_equal_captions_of_other_pictures_are_no_mistakes():
    similarity = torch.tensor([[9.0, 9.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    captions = torch.tensor([[1, 5], [1, 5], [1, 6]])
    assert contrastive_loss(similarity, captions) < 0.01
    assert contrastive_loss(similarity, torch.tensor([[1, 5], [1, 4], [1, 6]])) > 0.4


PARAMS = """
download: {{images: "folder:{own}"}}
preprocess: {{images: {{validation: 0.45}}}}
train_cnn: {{steps: 20, validate_every: 20, width: 8}}
train_diffusion: {{steps: 4, validate_every: 4, width: 8, text_width: 16}}
evaluate: {{diffusion: {{images: 24, steps: 2, rejection: 0.5, classifiers: 2, classifier_steps: 10}}}}
"""


def test_pictures_with_classes_and_attributes_are_scored_by_both(tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    images, shown = bars(120)
    with (own / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "label", "split", "caption", "attribute_side", "attribute_shade"])
        for number, (picture, (side, shade)) in enumerate(zip(images, shown.tolist(), strict=True)):
            Image.fromarray(picture[0].numpy()).save(own / f"{number}.png")
            said = (SIDES[side], SHADES[shade])
            split = "test" if said == ("left", "dim") or number % 5 == 0 else "train"
            caption = f"a {said[1]} bar on the {said[0]}"
            writer.writerow([f"{number}.png", SIDES[side], split, caption, *said])
    (tmp_path / "params.yaml").write_text(PARAMS.format(own=own))
    for words in (("download", "images"), ("preprocess", "images"), ("train_cnn",), ("train_diffusion",)):
        run(tmp_path, f"stages.{words[0]}", *words[1:])
    run(tmp_path, "stages.evaluate", "diffusion")
    scores = json.loads((tmp_path / "reports/diffusion/metrics.json").read_text())
    kinds = ("side", "shade", "unseen_compositions")
    assert {f"{score}_{kind}" for score in ("fidelity", "judge_accuracy") for kind in kinds} <= set(scores)
    assert {"fidelity", "judge_accuracy", "cas_accuracy", "fid_ratio", "variance_ratio", "copy_rate"} <= set(scores)
    sheets = {path.name for path in (tmp_path / "reports/diffusion/evaluation").glob("*.png")}
    assert {"attributes.png", "unseen_compositions.png", "interpolation.png", "reverse_process.png"} <= sheets
    assert "retrieval_top1" not in scores and scores["network_evaluations"] > 2 * 4

    monkeypatch.setattr(image_store, "free_memory", lambda: 1000)
    assert "test.safetensors: 0.00 GiB are read from disk" in run(tmp_path, "stages.evaluate", "diffusion")
    assert json.loads((tmp_path / "reports/diffusion/metrics.json").read_text()) == scores
