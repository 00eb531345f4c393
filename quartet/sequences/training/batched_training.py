"""What every training of sequences shares: the task that the loop runs, and the order of examples."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from quartet.datasets.batches import ShuffledBatches
from quartet.sequences.settings import TrainRnn
from quartet.training.task import Batch, Chance, Task


class BatchedTraining(ABC):
    """A network and the functions that the training loop calls.

    Attributes:
        settings: of the training.
        network: on the device.
        batches: which examples each step uses.
    """

    settings: TrainRnn
    network: nn.Module
    batches: ShuffledBatches

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
            chance=self.chance,
            weight_of=self.weight_of,
        )

    def examples_at(self, number: int) -> Batch:
        """The indices of a batch's examples in the training split."""
        return (self.batches.indices(number),)

    def calibrate(self, network: Any) -> dict[str, float]:
        """What is fitted to the validation split after training, for the card; nothing if that was trained on."""
        return {} if self.settings.include_validation else self.fit_calibration(network)

    def fit_calibration(self, network: Any) -> dict[str, float]:
        """As `calibrate`, on a validation split that was held out."""
        return {}

    @abstractmethod
    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """Make a batch of these examples."""

    @abstractmethod
    def loss_of(self, network: Any, batch: Batch) -> Tensor:
        """The network's loss on a batch, a scalar."""

    def weight_of(self, batch: Batch) -> Tensor:
        """What the loss of a batch is a mean of: its rows, unless they have weights."""
        return torch.tensor(float(len(batch[0])), device=batch[0].device)

    @abstractmethod
    def validate(self, network: Any) -> dict[str, float]:
        """Scores on the validation split, among them `score`, where higher is better."""

    @abstractmethod
    def chance(self) -> Chance:
        """The score on the validation split of an answer that needs no learning."""
