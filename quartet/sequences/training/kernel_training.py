"""Train a linear layer on the features of random kernels."""

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

    model = RidgeCV(alphas=RIDGE_PENALTIES).fit(features.cpu().numpy(), targets.cpu().numpy())
    return float(model.alpha_)
