"""Train a network that says a sequence's class or number: batches of similar lengths, loss, validation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quartet.artifacts.errors import BadInput
from quartet.artifacts.rebuilding import build_network
from quartet.classification.predictions import VALIDATION_BATCH_FACTOR
from quartet.datasets.augmentation import augment
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.images import to_unit_range
from quartet.sequences.augmentation import augment_series, mixed, mixing
from quartet.sequences.forecasting.training import forecast_training
from quartet.sequences.goals import goal_of
from quartet.sequences.loading import Sequences, as_images, as_sequences, load_sequences, network_inputs
from quartet.sequences.networks import NETWORKS
from quartet.sequences.networks.kernels import KernelClassifier
from quartet.sequences.predictions import logits_over_sequences
from quartet.sequences.settings import TrainRnn
from quartet.training.loop import Batch, Task
from quartet.training.run import Plan

PENALTIES = torch.logspace(-3, 7, 21)  # of ridge regression
FITTED = 2048  # about so many training sequences say how features are standardised
CACHE_BYTES = 2**30  # of features that are computed once
CARD_KEYS = (
    *("kind", "input", "classes", "image_shape", "order", "steps", "features", "feature_names", "vocabulary_size"),
    *("mean", "std", "standardise", "task", "target_mean", "target_std", "quintiles"),
    *("horizon", "window", "season", "known"),
)


def plan(settings: TrainRnn, *, seed: int, folder: Path, info: Mapping, device: torch.device) -> Plan:
    """The plan of a training on the processed sequences in `folder`; `info` is their `info.json`.

    Raises:
        BadInput: the network in the settings does not take such sequences.
    """
    card_keys = tuple(key for key in CARD_KEYS if key in info)
    if info["input"] == "forecast":
        forecasts = forecast_training(settings, seed=seed, folder=folder, info=info, device=device)
        return Plan(forecasts.task(), forecasts.description, card_keys)
    if settings.network == "linear":
        raise BadInput(f"{info['source']}: train_rnn.network = linear only forecasts; set it to recurrent or kernels")
    if settings.network == "kernels" and info["input"] == "tokens":
        raise BadInput(f"{info['source']}: train_rnn.network = kernels takes numbers, not texts; set it to recurrent")
    train, held_out = load_sequences(folder, "train"), load_sequences(folder, "validation")
    if settings.include_validation:
        train = train.joined(held_out)
    kind = KernelTraining if settings.network == "kernels" else SequenceTraining
    training = kind(settings, info, device, seed=seed, train=train, held_out=held_out)
    return Plan(
        task=training.task(),
        description=training.description,
        card_keys=card_keys,
        model_files={"tokenizer": folder / "tokenizer.json"} if info["input"] == "tokens" else {},
    )


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


class SequenceTraining:
    """A network and the functions that the training loop calls.

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

    def task(self) -> Task:
        """The task for the training loop."""
        settings = self.settings
        epochs = settings.epochs and self.batches.steps_in(settings.epochs, settings.accumulate)
        return Task(
            network=self.network,
            examples_at=self.examples_at,
            batch_of=self.batch_of,
            loss_of=self.loss_of,
            validate=self.validate,
            steps=epochs or settings.steps,
            validate_every=settings.validate_every,
        )

    def examples_at(self, number: int) -> Batch:
        """The indices of a batch's sequences in the training split."""
        return (self.batches.indices(number),)

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """Network inputs (pixels and numbers are augmented), lengths if they differ, and labels or targets."""
        (chosen,) = examples
        values, lengths = self.train.padded(chosen)
        if self.info["input"] == "pixels":
            values = self._augmented(values, generator)
        inputs, labels = network_inputs(values, self.info), self._labels(chosen)
        if self.info["input"] == "numbers" and self.settings.series_augmentation.on:
            inputs, lengths, labels = self._augmented_series(inputs, lengths, labels, generator)
        return (inputs, lengths, labels) if self.varying else (inputs, labels)

    def loss_of(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of the goal: the cross-entropy, or that of a number."""
        *inputs, labels = batch
        return self.goal.loss(network(*inputs), labels)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Loss and score on the held-out sequences."""
        outputs = logits_over_sequences(
            network, self.held_out, self.info, VALIDATION_BATCH_FACTOR * self.settings.batch_size
        )
        return self.goal.scores(outputs, self.held_out.labels)

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


class KernelTraining(SequenceTraining):
    """Training of a linear layer on features that do not change: they are computed once where they fit.

    A layer that predicts a number is kept small by the penalty of ridge regression. With thousands of features for
    some hundred series, it would otherwise learn their noise; classes, which ask for less precision, need none.
    """

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.network: KernelClassifier
        chosen = torch.arange(len(self.train), device=self.train.lengths.device)
        some = chosen[:: max(1, len(chosen) // FITTED)]
        values, lengths = self.train.padded(some)
        inputs = network_inputs(values, self.info)
        self.network.fit(inputs, lengths)
        self.penalty = 0.0
        if not self.info["classes"]:
            targets = self.goal.targets(self.train.labels[some])
            self.penalty = ridge_penalty(self.network.pooled(inputs, lengths), targets) / len(some)
        columns = self.network.classifier.in_features
        fits = 4 * columns * (len(self.train) + len(self.held_out)) <= CACHE_BYTES
        augmented = self.info["input"] == "pixels" or self.settings.series_augmentation.on
        self.cached = fits and not augmented
        if self.cached:
            self.train_features, self.held_out_features = map(self._pooled, (self.train, self.held_out))

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """Features and labels."""
        (chosen,) = examples
        if self.cached:
            return self.train_features[chosen], self._labels(chosen)
        inputs, *lengths, labels = super().batch_of(examples, generator)
        return self.network.pooled(inputs, *lengths), labels

    def loss_of(self, network: Any, batch: Batch) -> Tensor:
        """The loss of the goal, from features, and the penalty on the layer's weights."""
        features, labels = batch
        loss = self.goal.loss(network.classifier(features), labels)
        return loss + self.penalty * network.classifier.weight.square().sum() if self.penalty else loss

    def validate(self, network: Any) -> dict[str, float]:
        """Loss and score on the held-out sequences."""
        if not self.cached:
            return super().validate(network)
        with torch.no_grad():
            return self.goal.scores(network.classifier(self.held_out_features), self.held_out.labels)

    def _pooled(self, sequences: Sequences) -> Tensor:
        parts = torch.arange(len(sequences), device=sequences.lengths.device).split(256)
        return torch.cat([self.network.pooled(*self._inputs(sequences, part)) for part in parts])

    def _inputs(self, sequences: Sequences, chosen: Tensor) -> tuple[Tensor, Tensor]:
        values, lengths = sequences.padded(chosen)
        return network_inputs(values, self.info), lengths


def ridge_penalty(features: Tensor, targets: Tensor) -> float:
    """The penalty with which ridge regression predicts best, leaving out one example at a time.

    `features` is `(examples, columns)`, `targets` `(examples,)`; scikit-learn's `RidgeCV`.
    """
    from sklearn.linear_model import RidgeCV  # takes a while to import, and few trainings need it

    model = RidgeCV(alphas=PENALTIES.numpy()).fit(features.cpu().numpy(), targets.cpu().numpy())
    return float(model.alpha_)
