"""Sequences: every kind from raw data to padded batches."""

import numpy as np
import pandas as pd
import pytest
import torch
from own_pictures import bring

from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import write_json
from quartet.datasets.images import load_images
from quartet.images.preparation import prepare_images
from quartet.images.settings import PreprocessImages
from quartet.sequences.baselines import linear_baseline
from quartet.sequences.loading import Sequences, as_images, as_sequences, load_sequences, network_inputs
from quartet.sequences.preparation import prepare_sequences
from quartet.sequences.preparation.standardising import standardisation
from quartet.sequences.settings import PreprocessSequences
from quartet.sequences.sources import download_sequences


def prepare(tmp_path, source, settings=None):
    raw, folder = tmp_path / "raw_sequences", tmp_path / "sequences"
    write_json(raw / "manifest.json", download_sequences(source, Fetching(), raw))
    return prepare_sequences(raw, folder, settings or PreprocessSequences(), tmp_path / "images"), folder


@pytest.mark.parametrize("kind", ["image-rows", "image-pixels"])
def test_images_are_cut_in_steps(tmp_path, kind):
    raw = tmp_path / "raw"
    bring(raw)
    prepare_images(raw, tmp_path / "images", PreprocessImages())
    info, folder = prepare(tmp_path, kind)
    images, labels = load_images(tmp_path / "images", "test")
    sequences = load_sequences(folder, "test")
    values, lengths = sequences.padded(torch.arange(len(sequences)))
    assert torch.equal(labels, sequences.labels) and set(lengths.tolist()) == {info["steps"]}
    assert torch.equal(as_images(values, info), images)
    assert torch.equal(as_sequences(images, info), values)
    first_row = images[0, 0, 0]
    assert torch.equal(values[0, :1].flatten() if kind == "image-rows" else values[0, :8].flatten(), first_row)
    assert abs(network_inputs(values, info).mean()) < 0.1


def test_settings_that_say_nothing_of_images_are_named(tmp_path, capsys):
    raw = tmp_path / "raw"
    bring(raw)
    prepare_images(raw, tmp_path / "images", PreprocessImages())
    prepare(tmp_path, "image-rows", PreprocessSequences(horizon=3, missing="zero", splits="random"))
    idle = "preprocess.sequences.horizon, preprocess.sequences.missing, preprocess.sequences.splits"
    assert f"{idle}: not used by images as sequences" in capsys.readouterr().out
    prepare(tmp_path, "image-pixels", PreprocessSequences(pixel_order="permuted"))
    assert "not used" not in capsys.readouterr().out


def test_permuted_pixels_are_the_same_pixels_in_one_order_for_all(tmp_path):
    raw = tmp_path / "raw"
    bring(raw)
    prepare_images(raw, tmp_path / "images", PreprocessImages())
    plain, _ = prepare(tmp_path, "image-pixels")
    permuted, _ = prepare(tmp_path, "image-pixels", PreprocessSequences(pixel_order="permuted"))
    again, permuted_folder = prepare(tmp_path, "image-pixels", PreprocessSequences(pixel_order="permuted"))
    assert "order" not in plain and sorted(permuted["order"]) == list(range(64)) != permuted["order"] == again["order"]
    images, _ = load_images(tmp_path / "images", "test")
    values, _ = load_sequences(permuted_folder, "test").padded(torch.arange(len(images)))
    assert torch.equal(values[:, 7, 0], images.flatten(1)[:, permuted["order"][7]])
    assert torch.equal(as_images(values, permuted), images)


def test_time_series_keep_their_lengths_and_are_standardised(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        (f"s{number:03}", step, "up" if number % 2 else "down", 100 + rng.normal() + number % 2 * step, rng.normal())
        for number in range(40)
        for step in range(3 + number % 5)
    ]
    pd.DataFrame(rows, columns=["series", "step", "label", "x", "y"]).to_csv(tmp_path / "own.csv", index=False)
    info, folder = prepare(tmp_path, f"csv:{tmp_path / 'own.csv'}")
    assert info["classes"] == ["down", "up"] and info["steps"] == 7 and info["features"] == 2
    assert sum(info["counts"].values()) == 40
    train = load_sequences(folder, "train")
    values = network_inputs(train.values[None], info)[0]
    torch.testing.assert_close(values.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)


def test_the_linear_baseline_reads_time_series_as_the_network_does(tmp_path):
    """A large steady offset in one column hides nothing of another; behind a series' end there is nothing."""
    rng = np.random.default_rng(0)
    rows = [
        (f"s{number:03}", step, number % 2, rng.normal() + number % 2, 101325 + 100 * rng.normal())
        for number in range(300)
        for step in range(5 + number % 3)
    ]
    pd.DataFrame(rows, columns=["series", "step", "label", "x", "pressure"]).to_csv(tmp_path / "own.csv", index=False)
    info, folder = prepare(tmp_path, f"csv:{tmp_path / 'own.csv'}")
    assert linear_baseline(folder, info)["baseline_accuracy"] > 0.75


def test_a_feature_that_never_changes_in_training_stays_as_it_is(tmp_path):
    rows = [(f"s{n:03}", step, n % 2, 7.0, (1 + n * step) * 1e-12) for n in range(40) for step in range(3)]
    pd.DataFrame(rows, columns=["series", "step", "label", "still", "tiny"]).to_csv(tmp_path / "own.csv", index=False)
    info, folder = prepare(tmp_path, f"csv:{tmp_path / 'own.csv'}")
    values = network_inputs(load_sequences(folder, "train").values[None], info)[0]
    assert info["std"][0] == 1 and (values[:, 0] == 0).all()
    assert values[:, 1].std(correction=0).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("constant", [0.1, 3.3, 101325.7, -1e-9])
def test_a_feature_that_is_constant_but_for_rounding_is_not_blown_up(constant):
    for count in (3, 10, 777):
        found = standardisation("data", [np.full((count, 1), constant)])
        assert found["std"] == [1.0]


def test_series_of_a_single_label_are_refused(tmp_path):
    rows = [(number, step, "only", step) for number in range(9) for step in range(2)]
    pd.DataFrame(rows, columns=["series", "step", "label", "x"]).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(ValueError, match=r"all are labelled 'only'; .* at least two labels"):
        prepare(tmp_path, f"csv:{tmp_path / 'own.csv'}")


def test_topics_are_split_by_object_and_masked(tmp_path):
    info, folder = prepare(tmp_path, "docstring-topics", PreprocessSequences(vocabulary_size=400))
    assert info["vocabulary_size"] == 400 and len(info["classes"]) > 15 and "linear_model" in info["classes"]
    raw = pd.read_csv(tmp_path / "raw_sequences/passages.csv")
    assert not raw["text"].str.contains(r"\b(?:sklearn|linear_model|metrics)\b", case=False, regex=True).any()
    texts = {split: set(pd.read_csv(folder / f"{split}.csv")["text"]) for split in ("train", "validation", "test")}
    objects = {split: set(raw[raw["text"].isin(kept)]["object_name"]) for split, kept in texts.items()}
    shared = objects["train"] & objects["test"]
    assert len(shared) < 0.01 * len(objects["test"]) + 5, shared  # texts that two objects share, if any
    test = load_sequences(folder, "test")
    values, lengths = test.padded(torch.arange(len(test)))
    assert network_inputs(values, info).max() < 400 and lengths.min() > 0


def test_padding_is_zero_and_sequences_keep_their_order():
    sequences = Sequences(torch.arange(1, 7)[:, None], torch.tensor([2, 1, 3]), torch.tensor([0, 1, 0]))
    values, lengths = sequences.padded(torch.tensor([2, 0]))
    assert values[..., 0].tolist() == [[4, 5, 6], [1, 2, 0]] and lengths.tolist() == [3, 2]
