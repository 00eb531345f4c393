"""Train a linear layer on the features of random kernels."""

import functools
from typing import Any

import torch
from torch import Tensor

from quartet.sequences.loading import Sequences, network_inputs
from quartet.sequences.networks.kernels import KernelClassifier
from quartet.sequences.training.goals import RIDGE_PENALTIES
from quartet.sequences.training.sequence_training import SequenceTraining
from quartet.training.parallel.share import own_rows
from quartet.training.task import Batch

FITTED = 2048  # about so many training sequences say how features are standardised
CACHE_BYTES = 2**30  # of features that are computed once


class KernelTraining(SequenceTraining):
    """Training of a linear layer on features that do not change: they are computed once where they fit.

    A layer that predicts a number is kept small by the penalty of ridge regression. With thousands of features for
    some hundred series, it would otherwise learn their noise; classes, which ask for less precision, need none.
    """

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.network: KernelClassifier
        chosen = torch.arange(len(self.train), device=self.train.lengths.device)
        self.some = chosen[:: max(1, len(chosen) // FITTED)]
        self.network.fit(*self._inputs(self.train, self.some))
        columns = self.network.classifier.in_features
        fits = 4 * columns * (len(self.train) + len(self.held_out)) <= CACHE_BYTES
        augmented = self.info["input"] == "pixels" or self.settings.series_augmentation.on
        self.cached = fits and not augmented

    # Computed when they are first needed, since a training that starts from another model takes over its kernels.
    @functools.cached_property
    def train_features(self) -> Tensor:
        """Of all training sequences."""
        return self._pooled(self.train, torch.arange(len(self.train), device=self.train.lengths.device))

    @functools.cached_property
    def held_out_features(self) -> Tensor:
        """Of all held-out sequences."""
        return self._pooled(self.held_out, torch.arange(len(self.held_out), device=self.held_out.lengths.device))

    @functools.cached_property
    def penalty(self) -> float:
        """Of the layer's squared weights; 0 for classes."""
        if self.info["classes"]:
            return 0.0
        features = self.train_features[self.some] if self.cached else self._pooled(self.train, self.some)
        return ridge_penalty(features, self.goal.targets(self.train.labels[self.some])) / len(self.some)

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """Features and labels."""
        (chosen,) = examples
        if self.cached:
            own = own_rows(chosen)
            return self.train_features[own], self._labels(own)
        inputs, *lengths, labels = super().batch_of(examples, generator)
        return self.network.pooled(inputs, *lengths), labels

    def loss_of(self, network: Any, batch: Batch) -> Tensor:
        """The loss of the goal, from features, and the penalty on the layer's weights."""
        features, labels = batch
        loss = self.goal.loss(network.classifier(features), labels)
        return loss + self.penalty * network.classifier.weight.square().sum() if self.penalty else loss

    def outputs_of_held_out(self, network: Any) -> Tensor:
        """`(sequences, outputs)` of the held-out sequences."""
        if not self.cached:
            return super().outputs_of_held_out(network)
        with torch.no_grad():
            return network.classifier(self.held_out_features)

    def _pooled(self, sequences: Sequences, chosen: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(chosen.device.type, enabled=False):
            parts = [self.network.pooled(*self._inputs(sequences, part)) for part in chosen.split(256)]
        return torch.cat(parts)

    def _inputs(self, sequences: Sequences, chosen: Tensor) -> tuple[Tensor, Tensor]:
        values, lengths = sequences.padded(chosen)
        return network_inputs(values, self.info), lengths


def ridge_penalty(features: Tensor, targets: Tensor) -> float:
    """The penalty with which ridge regression predicts best, leaving out one example at a time.

    `features` is `(examples, columns)`, `targets` `(examples,)`; scikit-learn's `RidgeCV`.
    """
    from sklearn.linear_model import RidgeCV  # takes a while to import, and few trainings need it

    model = RidgeCV(alphas=RIDGE_PENALTIES).fit(features.cpu().numpy(), targets.cpu().numpy())
    return float(model.alpha_)
