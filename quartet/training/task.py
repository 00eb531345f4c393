"""What a family gives to the training loop, and what it gets back."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, ...]  # its meaning is up to the task


@dataclasses.dataclass(frozen=True)
class Chance:
    """The validation score of something that needs no learning.

    Attributes:
        answer: what it always answers, in words.
        score: of that answer.
        margin: scores this much better may still be luck.
    """

    answer: str
    score: float
    margin: float = 0.0


@dataclasses.dataclass(frozen=True)
class Task:
    """What to train: a network, its batches, loss and score.

    Attributes:
        network: on the device.
        examples_at: the examples of a batch, by its number, which is counted from the start of the training.
        batch_of: makes a batch of these examples; all its randomness comes from the generator. Where several processes
            train together, it draws for the whole batch and makes this process's rows (`parallel/share.py`).
        loss_of: the network's loss on a batch, a scalar.
        weight_of: of a batch, what its loss is a mean of, such as the number of its tokens; None takes its rows.
        shards: the layers that several processes shard, by name (`parallel/sharding.py`); none if each has all.
        validate: scores on the validation split, among them `score`, where higher is better.
        steps: number of training steps.
        validate_every: steps between validations.
        replayable: every step runs the same operations on the same shapes and does not branch on values, so that a GPU
            may replay a recording of it.
        rate_factors: factors on the learning rate of the network's parameters, by name; the others have 1.
        chance: the score of an answer that needs no learning, on the validation split; computed at the end.

    `loss_of` and `validate` take the network as Any, since each family has its own class.
    """

    network: nn.Module
    examples_at: Callable[[int], Batch]
    batch_of: Callable[[Batch, torch.Generator], Batch]
    loss_of: Callable[[Any, Batch], Tensor]
    validate: Callable[[Any], dict[str, float]]
    steps: int
    validate_every: int
    replayable: bool = False
    rate_factors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    chance: Callable[[], Chance] | None = None
    weight_of: Callable[[Batch], Tensor] | None = None
    shards: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a training.

    Attributes:
        weights: those that are kept.
        kept: the row of the history at which they were kept.
        history: one row per validation; with a column `rollbacks`, how many there were before, if there were any.
        steps: how many were taken.
        rollbacks: how often the training went back, since its numbers were no longer finite.
        processes: how many trained together at the end.
    """

    weights: dict[str, Tensor]
    kept: dict[str, float]
    history: list[dict[str, float]]
    steps: int
    rollbacks: int = 0
    processes: int = 1
