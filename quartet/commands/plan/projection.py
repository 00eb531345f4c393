"""What a training would take on a machine that is not here."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from quartet.artifacts.errors import BadInput

if TYPE_CHECKING:
    from quartet.commands.plan.measuring import Measured, Memory


OF_WEIGHTS = ("weights", "gradients", "optimizer", "average")  # what sharding shares out


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine to be rented.

    Attributes:
        processes: one per GPU; the batch is split among them.
        tflops: of one GPU, in 10¹² floating point operations per second, as its data sheet says.
        utilisation: the share of these that a training reaches; exchange of gradients and waiting lower it.
        price: of one GPU for an hour, or None.

    Raises:
        BadInput: a number is not one of these.
    """

    processes: int
    tflops: float
    utilisation: float
    price: float | None

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise BadInput(f"--processes: found {self.processes}, allowed is 1 or more")
        if not 0 < self.tflops < math.inf:
            raise BadInput(f"--tflops: found {self.tflops:g}, allowed is a number above 0")
        if not 0 < self.utilisation <= 1:
            raise BadInput(f"--utilisation: found {self.utilisation:g}, allowed is above 0 and at most 1")
        if self.price is not None and not 0 <= self.price < math.inf:
            raise BadInput(f"--price: found {self.price:g}, allowed is 0 or more")


@dataclasses.dataclass(frozen=True)
class Projected:
    """A training on such a machine.

    Attributes:
        examples: of each batch, in the process that has the most.
        memory: of that process.
        update: operations of a step's update, of each process.
        step_seconds, validation_seconds, seconds: of a step, of a validation, and of the training.
        cost: of the training, or None without a price.
    """

    examples: int
    memory: Memory
    update: float
    step_seconds: float
    validation_seconds: float
    seconds: float
    cost: float | None


def projected(measured: Measured, machine: Machine) -> Projected:
    """The same training on a machine, from what was counted here.

    Forward and backward pass are split among the processes. Each of them validates, holds all data, and holds and
    updates all weights, or its share of them if they are sharded.

    Raises:
        BadInput: there are more processes than examples in a batch.
    """
    if machine.processes > measured.examples:
        raise BadInput(
            f"--processes: found {machine.processes}, more than the {measured.examples} examples of a batch; allowed "
            "is at most one process per example: raise batch_size"
        )
    examples = math.ceil(measured.examples / machine.processes)
    share = examples / measured.examples
    rate = machine.tflops * 1e12 * machine.utilisation
    of_weights = 1 / machine.processes if measured.sharded else 1
    update = measured.work.update * of_weights
    step_seconds = (measured.work.batch * share + update) / rate
    validation_seconds = measured.work.validation / rate
    seconds = measured.steps * step_seconds + measured.validations * validation_seconds
    return Projected(
        examples=examples,
        memory=dataclasses.replace(
            measured.memory,
            activations=round(measured.memory.activations * share),
            kept=0 if measured.sharded else measured.memory.kept,  # the first process gathers them in its own memory
            **{name: round(getattr(measured.memory, name) * of_weights) for name in OF_WEIGHTS},
        ),
        update=update,
        step_seconds=step_seconds,
        validation_seconds=validation_seconds,
        seconds=seconds,
        cost=None if machine.price is None else seconds / 3600 * machine.processes * machine.price,
    )
