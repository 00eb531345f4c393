"""Train a network that says a sequence's class or number: batches of similar lengths, loss, validation."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from quartet.artifacts.rebuilding import build_network
from quartet.classification.calibration import fit_temperature
from quartet.classification.predictions import VALIDATION_BATCH_FACTOR
from quartet.datasets.augmentation import augment
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.images import to_unit_range
from quartet.sequences.loading import Sequences, as_images, as_sequences, network_inputs
from quartet.sequences.networks import NETWORKS
from quartet.sequences.settings import TrainRnn
from quartet.sequences.training.augmentation import augment_series, mixed, mixing
from quartet.sequences.training.batched_training import BatchedTraining
from quartet.sequences.training.goals import goal_of
from quartet.sequences.training.predictions import logits_over_sequences
from quartet.training.parallel.share import own_rows
from quartet.training.task import Batch, Chance


def describe_network(settings: TrainRnn, info: Mapping, outputs: int, seed: int) -> dict[str, object]:
    """The arguments that build the network in the settings for the sequences that `info` describes."""
    tokens = info["input"] == "tokens"
    if settings.network == "kernels":
        return {
            "name": "kernels",
            "features": info["features"],
            "steps": info["steps"],
            "classes": outputs,
            "seed": seed,
        }
    return {
        "name": "recurrent",
        "vocabulary_size" if tokens else "features": info["vocabulary_size"] if tokens else info["features"],
        "classes": outputs,
        "cell": settings.cell,
        "hidden_size": settings.hidden_size,
        "layers": settings.layers,
        "bidirectional": settings.bidirectional,
        "pooling": settings.pooling,
        "dropout": settings.dropout,
        "token_dropout": settings.token_dropout if tokens else 0.0,
    }


class SequenceTraining(BatchedTraining):
    """A training that says a class or a number of each sequence.

    Args:
        settings: of the training.
        info: the `info.json` of the sequences.
        device: where to train.
        seed: of the order of the sequences.
        train, held_out: the splits.
    """

    def __init__(
        self,
        settings: TrainRnn,
        info: Mapping,
        device: torch.device,
        *,
        seed: int,
        train: Sequences,
        held_out: Sequences,
    ):
        self.settings, self.info = settings, info
        self.train, self.held_out = train.to(device), held_out.to(device)
        self.varying = len(self.train.lengths.unique()) > 1
        lengths = self.train.lengths if self.varying else None
        self.batches = ShuffledBatches(len(train), settings.batch_size, seed, device, lengths=lengths)
        self.goal = goal_of(info, settings, self.train.labels)
        self.description = describe_network(settings, info, self.goal.outputs, seed)
        self.network = build_network(NETWORKS, self.description).to(device)

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """Network inputs (pixels and numbers are augmented), lengths if they differ, and labels or targets."""
        (chosen,) = examples
        values, lengths = self.train.padded(chosen)
        if self.info["input"] == "pixels":
            values = self._augmented(values, generator)
        inputs, labels = network_inputs(values, self.info), self._labels(chosen)
        if self.info["input"] == "numbers" and self.settings.series_augmentation.on:
            inputs, lengths, labels = self._augmented_series(inputs, lengths, labels, generator)
        return own_rows((inputs, lengths, labels) if self.varying else (inputs, labels))

    def loss_of(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of the goal: the cross-entropy, or that of a number."""
        *inputs, labels = batch
        return self.goal.loss(network(*inputs), labels)

    def weight_of(self, batch: Batch) -> Tensor:
        """What the loss of the goal is a mean of."""
        return self.goal.weight(batch[-1])

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Loss and score on the held-out sequences."""
        return self.goal.scores(self.outputs_of_held_out(network), self.held_out.labels)

    def chance(self) -> Chance:
        """The score of the most frequent class, or of the mean number."""
        return self.goal.chance(self.held_out.labels)

    def fit_calibration(self, network: nn.Module) -> dict[str, float]:
        """The temperature of a classifier's probabilities."""
        if not self.info["classes"]:
            return {}
        return {"temperature": fit_temperature(self.outputs_of_held_out(network), self.held_out.labels)}

    def outputs_of_held_out(self, network: nn.Module) -> Tensor:
        """`(sequences, outputs)` of the held-out sequences."""
        batch_size = VALIDATION_BATCH_FACTOR * self.settings.batch_size
        return logits_over_sequences(network, self.held_out, self.info, batch_size)

    def _labels(self, chosen: Tensor) -> Tensor:
        """Numbers of classes, or standardised numbers."""
        labels = self.train.labels[chosen]
        return labels if self.info["classes"] else self.goal.targets(labels)

    def _augmented_series(
        self, series: Tensor, lengths: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Augment standardised series; mix-up also mixes labels and takes the longer of two lengths."""
        ranges = self.settings.series_augmentation
        series = augment_series(series, lengths, ranges, generator)
        if ranges.mixup:
            partners, shares = mixing(len(series), ranges.mixup, generator)
            targets = self.goal.targets(labels) if self.info["classes"] else labels
            series, labels = mixed(series, partners, shares), mixed(targets, partners, shares)
            lengths = torch.maximum(lengths, lengths[partners])
        return series, lengths, labels

    def _augmented(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Augment sequences of pixels as the images that they are."""
        images = augment(to_unit_range(as_images(pixels, self.info)), self.settings.augmentation, generator)
        return as_sequences(images * 255, self.info)
