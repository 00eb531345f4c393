"""How the text-to-image benchmark chooses how to draw, what its models are asked for, and its table."""

import csv
import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from own_pictures import bring
from PIL import Image

from benchmarks import diffusion, diffusion_data, diffusion_peers
from quartet.artifacts.writing import read_json
from quartet.images.preparation import prepare_images
from quartet.images.settings import PreprocessImages
from quartet.text_to_image.settings import TrainDiffusion

SHADES = ("dark", "light")
TINY = (8, 8, 8)  # channels of a peer's levels


@pytest.mark.parametrize("enough", range(len(diffusion.CHOICES) + 1))
def test_the_weakest_choice_that_is_faithful_by_a_standard_error_is_taken(monkeypatch, enough):
    def fidelity(judge, pictures, labels):
        # The standard error of 0.9975 is 0.001 for 2,500 pictures, of 0.9955 it is 0.0013.
        return 0.9975 if pictures >= enough else 0.9955

    monkeypatch.setattr(diffusion, "judge_of", lambda folder, seed: None)
    monkeypatch.setattr(diffusion, "fidelity", fidelity)
    drawn = []

    def draw(choice, count):
        drawn.append(choice)
        return diffusion.CHOICES.index(choice), count

    choice = diffusion.weakest_faithful_choice(None, draw, 2500)
    assert choice == diffusion.CHOICES[min(enough, len(diffusion.CHOICES) - 1)]
    assert len(drawn) <= math.log2(len(diffusion.CHOICES)) + 1


def test_choices_become_stronger():
    strengths = [(choice["guidance"], choice["rejection"]) for choice in diffusion.CHOICES]
    assert strengths == sorted(strengths)


def test_the_table_has_an_arm_per_column():
    table = pd.DataFrame([{"arm": "ours", "parameters": 1_234_567}, {"arm": "theirs", "parameters": 4_400_000}])
    assert diffusion.summary(table).splitlines() == [
        "| | ours | theirs |",
        "|---|---|---|",
        "| parameters | 1,234,567 | 4,400,000 |",
    ]


@pytest.fixture(scope="module")
def captioned(tmp_path_factory):
    """Prepared pictures of 16 pixels in colour, with captions of their own; test pictures are 3 dark, 1 light."""
    own, folder = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("captioned")
    random = np.random.default_rng(0)
    with (own / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "label", "split", "caption", "attribute_shade"])
        for number in range(60):
            split, light = ("test", number == 3) if number < 4 else ("train", number % 2)
            pixels = random.integers(0, 99, (16, 16, 3), np.uint8) + np.uint8(150 * light)
            Image.fromarray(pixels).save(own / f"{number}.png")
            writer.writerow([f"{number}.png", SHADES[light], split, f"a very {SHADES[light]} picture", SHADES[light]])
    bring(folder / "raw", f"folder:{own}")
    prepare_images(folder / "raw", folder, PreprocessImages(size=16, validation=0.4))
    return folder


@pytest.fixture(scope="module")
def classed(tmp_path_factory):
    """Digits of 16 pixels, without captions."""
    folder = tmp_path_factory.mktemp("classed")
    bring(folder / "raw")
    prepare_images(folder / "raw", folder, PreprocessImages(size=16))
    return folder


def asked_of(folder):
    return diffusion_data.questions(folder, read_json(folder / "info.json"), "test", torch.device("cpu"), 64)


def test_test_captions_are_drawn_in_turn_and_else_all_classes(captioned, classed):
    captions, classes = asked_of(captioned).drawn(6)
    assert sorted(classes[:4].tolist()) == [0, 0, 0, 1] and torch.equal(classes[4:], classes[:2])
    same = (captions[:, None] == captions).all(dim=2)
    assert torch.equal(same, classes[:, None] == classes)
    few = asked_of(captioned).turns(2).tolist()
    assert few == [0, 2]  # evenly spaced among four
    captions, classes = asked_of(classed).drawn(23)
    assert classes.tolist() == [*range(10), *range(10), 0, 1, 2] and len(captions.unique(dim=0)) == 10


@pytest.mark.parametrize("kind", ["captioned", "classed"])
def test_a_peer_is_asked_for_captions_or_where_they_say_no_more_for_classes(request, monkeypatch, kind):
    monkeypatch.setattr(diffusion_peers, "PEER_STEPS", 2)
    folder = request.getfixturevalue(kind)
    info = read_json(folder / "info.json")
    network = diffusion_peers.diffusers_network(folder, info, TINY, torch.device("cpu"))
    assert hasattr(network, "text_encoder") == (kind == "captioned")
    wanted = asked_of(folder).drawn(5)[1]
    for train, sizes in ((diffusion_peers.train_diffusers, TINY), (diffusion_peers.train_denoising_diffusion, 8)):
        row = train(folder, sizes, 0.01, 5)
        assert row["pictures"].shape == (5, info["channels"], 16, 16) and row["labels"].tolist() == wanted.tolist()
        assert row["owners"] is None if kind == "classed" else row["owners"].tolist() == [0, 1, 2, 3, 0]


def test_the_conditioned_peer_answers_to_its_caption(captioned):
    torch.manual_seed(0)
    info = read_json(captioned / "info.json")
    network = diffusion_peers.diffusers_network(captioned, info, TINY, torch.device("cpu")).eval()
    captions, classes = asked_of(captioned).drawn(4)
    pictures = torch.randn(1, 3, 16, 16).expand(4, -1, -1, -1)
    with torch.no_grad():
        answers = network(pictures, torch.full((4,), 500), captions)
    same = torch.cdist(answers.flatten(1), answers.flatten(1), compute_mode="donot_use_mm_for_euclid_dist") < 1e-4
    assert torch.equal(same, classes[:, None] == classes)


def test_ours_draws_test_captions_and_is_scored(captioned, monkeypatch):
    brief = dataclasses.replace(diffusion_data.JUDGE, width=8, steps=3, validate_every=3)
    monkeypatch.setattr(diffusion_data, "JUDGES", dict.fromkeys(diffusion_data.SIZES, brief))
    monkeypatch.setattr(diffusion, "JUDGES", dict.fromkeys(diffusion_data.SIZES, brief))
    monkeypatch.setattr(diffusion, "OUR_STEPS", 1)
    settings = TrainDiffusion(width=8, text_width=16, batch_size=8, precision="float32", norm_groups=1)
    row = diffusion.train_ours(captioned, settings, 0.5, 12)
    assert row["pictures"].shape == (12, 3, 16, 16) and np.bincount(row["labels"]).tolist() == [9, 3]
    assert row["rejection"] > 0 and row["images_seen"] > 0
    assert np.array_equal(asked_of(captioned).classes[row["owners"]], row["labels"])
    scores = diffusion.scores_of(captioned, row["pictures"], row["labels"], row["owners"])
    assert {"fidelity_shade", "judge_accuracy_shade"} <= set(scores)
    assert {"fidelity", "fid_ratio", "variance_ratio", "cas_accuracy", "cas_accuracy_real"} <= set(scores)
    diffusion.judge_of.cache_clear()
    diffusion.accuracy_of_real.cache_clear()


def test_real_pictures_are_of_all_classes_though_a_folder_is_sorted():
    images, labels = torch.arange(100), torch.arange(100) // 10
    found = diffusion.some((images, labels), 20)
    assert torch.equal(found[0] // 10, found[1]) and found[1].bincount().tolist() == [2] * 10
    assert len(diffusion.some((images, labels), 500)[0]) == 100


def test_photographs_that_the_mirror_lacks_are_named(tmp_path):
    with pytest.raises(typer.BadParameter, match=r"holds no photos/cifar10-small\.zip"):
        diffusion_data.prepare("cifar10-small", str(tmp_path), tmp_path / "folder", 32)
