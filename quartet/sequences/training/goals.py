"""What a network says of a sequence, its class or a number, and how that is trained and scored in validation."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.classification.predictions import validation_scores
from quartet.sequences.settings import TrainRnn
from quartet.training.class_weights import class_weights
from quartet.training.standing_still import chance_of_classes
from quartet.training.task import Chance

REGRESSION_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean_squared_error": F.mse_loss,
    "mean_absolute_error": F.l1_loss,
    "huber": F.huber_loss,
}

RIDGE_PENALTIES = np.logspace(-3, 7, 21)  # of ridge regression of a number: noisy ones take strong penalties


@dataclasses.dataclass(frozen=True)
class Classes:
    """One of `outputs` classes; `weights`, `(classes,)`, and `smoothing` are those of the cross-entropy."""

    outputs: int
    weights: Tensor | None = None
    smoothing: float = 0.0

    def targets(self, labels: Tensor) -> Tensor:
        """Probabilities of the classes, `(batch, classes)`, from their numbers."""
        return F.one_hot(labels, self.outputs).float()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy; `labels` are numbers of classes, or probabilities."""
        return F.cross_entropy(logits, labels, weight=self.weights, label_smoothing=self.smoothing)

    def weight(self, labels: Tensor) -> Tensor:
        """What the loss is a mean of: the sum of the examples' weights, or their number."""
        if self.weights is None or labels.is_floating_point():
            return torch.tensor(float(len(labels)), device=labels.device)
        return self.weights[labels].sum()

    def scores(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """Loss and accuracy of a validation."""
        return validation_scores(logits, labels)

    def chance(self, labels: Tensor) -> Chance:
        """The accuracy of the most frequent class."""
        return chance_of_classes(labels)


@dataclasses.dataclass(frozen=True)
class Number:
    """A number, predicted less the `mean` of the training examples and in their deviations `std`."""

    mean: float
    std: float
    kind: str
    outputs: int = 1

    def targets(self, labels: Tensor) -> Tensor:
        """Standardised numbers, `(batch,)`."""
        return ((labels - self.mean) / self.std).float()

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The loss in the settings; `labels` are standardised."""
        return REGRESSION_LOSSES[self.kind](outputs[:, 0], labels)

    def weight(self, labels: Tensor) -> Tensor:
        """What the loss is a mean of: the number of examples."""
        return torch.tensor(float(len(labels)), device=labels.device)

    def scores(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Loss, root mean squared error and `score`, its negative, of a validation."""
        loss = self.loss(outputs, self.targets(labels)).item()
        error = (self.numbers(outputs) - labels).square().mean().sqrt().item()
        return {"loss": loss, "rmse": error, "score": -error}

    def chance(self, labels: Tensor) -> Chance:
        """The score of the training examples' mean."""
        return Chance("the mean of the training examples", -(labels - self.mean).square().mean().sqrt().item())

    def numbers(self, outputs: Tensor) -> Tensor:
        """The numbers `(batch,)` that outputs `(batch, 1)` mean."""
        return outputs[:, 0].double() * self.std + self.mean


def goal_of(info: Mapping[str, Any], settings: TrainRnn, labels: Tensor) -> Classes | Number:
    """The goal of a training on sequences that `info` describes, whose training examples have these labels."""
    if info.get("task") == "numbers":
        return Number(info["target_mean"], info["target_std"], settings.loss)
    classes = len(info["classes"])
    return Classes(classes, class_weights(labels, classes, settings.class_weights), settings.label_smoothing)
