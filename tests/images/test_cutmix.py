"""CutMix: what is pasted where, how much of the label it takes, and that it arrives in training."""

import numpy as np
import pytest
import torch
from family_plans import CPU, image_plan, prepare, stopped_and_resumed, trained
from torch.nn import functional as F

from quartet.datasets import images as image_store
from quartet.datasets.images import load_images
from quartet.images.settings import PreprocessImages, TrainCnn
from quartet.images.training.cutmix import mixed_loss, paste, random_squares
from quartet.images.training.losses import classification_loss
from quartet.params.shared import Augmentation

NO_CHANGE = Augmentation(rotation=0.0, shift=0.0, brightness=0.0, contrast=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cutmix")
    prepare(folder)
    return folder


def test_squares_are_square_and_of_every_area():
    inside = random_squares(0.5, 2000, 16, torch.Generator().manual_seed(0))
    areas = inside.float().mean(dim=(1, 2, 3))
    assert 0.4 < (areas == 0).float().mean() < 0.6 and areas.max() > 0.9
    for square in inside[:50, 0].numpy():
        rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
        assert square.sum() == len(rows) * len(columns)  # a rectangle
        touching = {0, 15} & {*rows.tolist(), *columns.tolist()}
        assert touching or abs(len(rows) - len(columns)) <= 1  # a square, if no edge cuts it
    assert not random_squares(0.0, 9, 16, torch.Generator()).any()


def test_what_is_inside_is_the_others():
    images, others = torch.zeros(3, 2, 4, 4), torch.ones(3, 2, 4, 4)
    inside = torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    inside[1, :, :2, :2], inside[2] = True, True
    pasted, left = paste(images, others, inside)
    assert left.tolist() == [1, 0.75, 0] and pasted.mean(dim=(1, 2, 3)).tolist() == [0, 0.25, 1]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_the_mixed_loss_is_the_loss_where_nothing_is_mixed(name, smoothing):
    logits, labels = torch.randn(8, 5), torch.randint(5, (8,))
    plain = classification_loss(logits, labels, name, smoothing)
    torch.testing.assert_close(mixed_loss(logits, labels, labels.roll(1), torch.ones(8), name, smoothing), plain)
    half = mixed_loss(logits, labels, labels, torch.full((8,), 0.5), name, smoothing)
    torch.testing.assert_close(half, plain)


def test_the_mixed_cross_entropy_is_that_of_both_labels_in_proportion():
    logits, labels, others, left = torch.randn(8, 5), torch.randint(5, (8,)), torch.randint(5, (8,)), torch.rand(8)
    losses = (F.cross_entropy(logits, each, reduction="none") for each in (labels, others))
    expected = sum(share * loss for share, loss in zip((left, 1 - left), losses, strict=True)).mean()
    torch.testing.assert_close(mixed_loss(logits, labels, others, left, "cross_entropy", 0.0), expected)


def test_batches_hold_two_pictures_each_and_both_labels(data):
    _, plan = image_plan(data, CPU, cutmix=1.0, augmentation=NO_CHANGE)
    images, labels = load_images(data / "grey", "train")
    (chosen,) = plan.task.examples_at(0)
    pasted, own, others, left = plan.task.batch_of((chosen,), torch.Generator().manual_seed(0))
    assert torch.equal(own, labels[chosen]) and torch.equal(others, labels[chosen.roll(1)])
    plain, _ = image_plan(data, CPU, augmentation=NO_CHANGE)[1].task.batch_of((chosen,), torch.Generator())
    same = (pasted == plain).all(dim=1) | (pasted == plain.roll(1, 0)).all(dim=1)
    assert same.all() and images.shape[1:] == pasted.shape[1:]
    assert 0 < left.mean() < 1 and (left < 1).float().mean() > 0.8


@pytest.mark.parametrize("streamed", [False, True])
def test_a_training_with_cutmix_learns_and_resumes_to_the_same_bytes(data, tmp_path, monkeypatch, streamed):
    settings = {"cutmix": 0.5, "steps": 90, "validate_every": 45, "augmentation": NO_CHANGE}
    if streamed:
        monkeypatch.setattr(image_store, "free_memory", lambda: 1000)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    whole = trained(image_plan, data, **settings)
    resumed = stopped_and_resumed(image_plan, data, **settings)
    assert whole.history[-1]["validation_accuracy"] > 0.5
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in whole.weights.items())


def test_settings_that_cutmix_does_not_go_with_are_refused_or_named():
    conflicts = list(TrainCnn(cutmix=0.5, class_weights="balanced").conflicts(PreprocessImages(), None))
    assert len(conflicts) == 1 and "train_cnn.cutmix" in conflicts[0]
    assert TrainCnn(cutmix=0.5, network="efficientnet-lite0", weights="imagenet", freeze=1.0).idle == ["cutmix"]
