"""Classification accuracy score (Ravuri & Vinyals 2019): the accuracy on real images after training on drawn ones."""

import dataclasses
import statistics
import sys
from collections.abc import Mapping, Sequence

import torch
from rich.console import Console
from rich.progress import track

from quartet.images.networks.interface import ImageNetwork
from quartet.images.settings import TrainCnn
from quartet.images.training.image_training import ImageTraining, LabelledImages
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.loop import train as run_loop


def classifier_accuracy(
    kind: str,
    settings: TrainCnn,
    info: Mapping,
    device: torch.device,
    *,
    seeds: Sequence[int],
    train: LabelledImages,
    test: LabelledImages,
) -> tuple[float, float]:
    """Mean and standard deviation of `accuracy_after_training` over several seeds.

    Args:
        kind: of the training images, for the progress bar, which only a terminal shows.
        seeds: one per training, two or more, since the result of a single training is mostly luck.
        settings, info, device, train, test: as for `accuracy_after_training`.
    """
    console, hidden = Console(stderr=True), not sys.stderr.isatty()
    accuracies = [
        accuracy_after_training(settings, info, device, seed=seed, train=train, test=test)
        for seed in track(seeds, f"classifiers of {kind} images", console=console, disable=hidden)
    ]
    return statistics.mean(accuracies), statistics.stdev(accuracies)


def accuracy_after_training(
    settings: TrainCnn,
    info: Mapping,
    device: torch.device,
    *,
    seed: int,
    train: LabelledImages,
    test: LabelledImages,
) -> float:
    """Train a classifier without any output, and return the test accuracy of its last weights.

    Nothing is chosen on the test images.

    Args:
        settings: of the training.
        info: the `info.json` of the images.
        device: where to train.
        seed: of the initial weights and the order of the images.
        train, test: images and labels.
    """
    settings = from_random_weights(settings)
    torch.manual_seed(seed)  # initial weights
    training = ImageTraining(settings, info, device, seed=seed, train=train, held_out=test)
    return training.validate(train_to_the_end(training, settings, device, seed=seed))["accuracy"]


def from_random_weights(settings: TrainCnn) -> TrainCnn:
    """Settings of a classifier that the pictures must teach all that it knows."""
    return dataclasses.replace(settings, weights="none", start_from=None, freeze=0.0, layer_decay=1.0)


def train_to_the_end(training: ImageTraining, settings: TrainCnn, device: torch.device, *, seed: int) -> ImageNetwork:
    """Train without any output or validation; returns the network with its last weights."""
    unscored = dataclasses.replace(training.task(), validate=lambda network: {"score": 0.0})
    unscored = dataclasses.replace(unscored, validate_every=unscored.steps)
    outcome = run_loop(unscored, settings, seed=seed, device=device, checkpoint=NoCheckpoint(), quiet=True)
    network = training.network.eval()
    network.load_state_dict(outcome.weights)
    return network
