"""The settings of the image classifier arrive in its training."""

import dataclasses

import pytest
import torch
from networks import build
from torch import nn
from torch.nn import functional as F

from quartet.images.networks.activations import ACTIVATIONS
from quartet.images.settings import TrainCnn
from quartet.images.training.image_training import ImageTraining
from quartet.text_to_image.classifier_accuracy import accuracy_after_training

INFO = {"classes": ["a", "b", "c", "d"], "channels": 1, "size": 16, "mean": [0.25], "std": [0.5]}
NO_IMAGES = torch.empty(0, 1, 16, 16)  # in the place of images, where the logits are given
SMALL = TrainCnn(width=8, precision="float32", batch_size=4, steps=3)


def training_of(size=16, channels=1, **changes):
    """A training on eight random images, with changed settings."""
    images = torch.randint(256, (8, channels, size, size), dtype=torch.uint8)
    split = (images, torch.arange(8) % 4)
    info = {**INFO, "size": size, "channels": channels}
    settings = dataclasses.replace(SMALL, **changes)
    return ImageTraining(settings, info, torch.device("cpu"), seed=0, train=split, held_out=split)


def test_validation_takes_four_times_a_training_batch_at_once():
    split = (torch.zeros(21, 1, 16, 16, dtype=torch.uint8), torch.arange(21) % 4)
    settings, info = dataclasses.replace(SMALL, batch_size=2), {**INFO, "size": 16, "channels": 1}
    task = ImageTraining(settings, info, torch.device("cpu"), seed=0, train=split, held_out=split).task()
    seen = []
    task.network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    task.validate(task.network.eval())
    assert seen == [8, 8, 5]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_the_loss_is_the_named_one_with_its_smoothing(loss, smoothing):
    logits, labels = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    targets = torch.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    expected = {
        "cross_entropy": -(targets * logits.log_softmax(1)).sum(1).mean(),
        "binary_cross_entropy": nn.BCELoss()(logits.sigmoid(), targets),
        "mean_squared_error": (logits.softmax(1) - targets).square().mean(),
    }
    task = training_of(loss=loss, label_smoothing=smoothing).task()
    torch.testing.assert_close(task.loss_of(lambda inputs: logits, (NO_IMAGES, labels)), expected[loss])


def unequal_training(**changes):
    """A training on six images of the first class and one of each other."""
    split = (torch.zeros(9, 1, 16, 16, dtype=torch.uint8), torch.tensor([0, 0, 0, 0, 0, 0, 1, 2, 3]))
    settings = dataclasses.replace(SMALL, **changes)
    return ImageTraining(settings, INFO, torch.device("cpu"), seed=0, train=split, held_out=split)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_balanced_classes_weight_the_cross_entropy(smoothing):
    logits, labels = torch.randn(5, 4), torch.tensor([0, 3, 0, 1, 2])
    weights = torch.tensor([9 / (4 * 6), 9 / 4, 9 / 4, 9 / 4])
    task = unequal_training(class_weights="balanced", label_smoothing=smoothing).task()
    expected = F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    torch.testing.assert_close(task.loss_of(lambda inputs: logits, (NO_IMAGES, labels)), expected)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "mean_squared_error"])
def test_balanced_classes_weight_the_examples_of_the_other_losses(loss):
    logits, labels = torch.randn(4, 4), torch.tensor([0, 3, 0, 1])
    weights = torch.tensor([1 / 6, 1, 1 / 6, 1])
    task = unequal_training(class_weights="balanced", loss=loss).task()
    alone = unequal_training(loss=loss).task()
    each = [alone.loss_of(lambda inputs, i=i: logits[i : i + 1], (NO_IMAGES, labels[i : i + 1])) for i in range(4)]
    expected = (torch.stack(each) * weights).sum() / weights.sum()
    torch.testing.assert_close(task.loss_of(lambda inputs: logits, (NO_IMAGES, labels)), expected)


@pytest.mark.parametrize(("network", "size", "channels"), [("compact", 16, 1), ("reference", 48, 3)])
@pytest.mark.parametrize(("dropout", "activation"), [(0.0, "relu"), (0.35, "gelu"), (0.6, "tanh")])
def test_dropout_and_activation_are_the_networks_and_its_cards(network, size, channels, dropout, activation):
    training = training_of(size, channels, network=network, dropout=dropout, activation=activation)
    for built in (training.network, build(training.description)):
        modules = list(built.modules())
        assert {module.p for module in modules if isinstance(module, nn.Dropout)} == {dropout}
        kinds = {type(module) for module in modules}
        assert kinds & set(ACTIVATIONS.values()) == {ACTIVATIONS[activation]}


@pytest.mark.parametrize(("stem", "kernel", "stride"), [("strided", (5, 5), (2, 2)), ("plain", (3, 3), (1, 1))])
def test_stem_and_width_are_the_networks_and_its_cards(stem, kernel, stride):
    training = training_of(stem=stem, width=12)
    for built in (training.network, build(training.description)):
        first = built.stem.convolution
        assert (first.kernel_size, first.stride, first.out_channels) == (kernel, stride, 12)


def test_an_accuracy_depends_on_its_seed_and_not_on_what_was_trained_before():
    images = torch.randint(256, (64, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    split = (images, torch.arange(64) % 4)

    def accuracy(seed, before):
        torch.manual_seed(before)
        return accuracy_after_training(SMALL, INFO, torch.device("cpu"), seed=seed, train=split, test=split)

    assert accuracy(0, before=1) == accuracy(0, before=2)
    assert len({accuracy(seed, before=1) for seed in range(4)}) > 1
