"""Take some steps of a training, and count and time them: operations, memory, seconds."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from quartet.artifacts.memory import peak_memory
from quartet.artifacts.rebuilding import count_parameters
from quartet.commands.plan.live_memory import LiveMemory, bytes_of, tensors_in_memory
from quartet.params.shared import Training
from quartet.training.optimizers import optimizer_tensors
from quartet.training.run import Plan
from quartet.training.state import TrainingState
from quartet.training.steps import wait_for
from quartet.training.task import Task

WARM_UP = 5  # steps of a new state; a GPU records the fourth
FEWEST, MOST, ENOUGH = 2, 40, 5.0  # timed steps, and the seconds after which no more are timed


@dataclasses.dataclass(frozen=True)
class Work:
    """Floating point operations of a step, a multiplication and an addition being two.

    Counted are matrix products, convolutions, attention and recurrent layers; operations on single elements are not.

    Attributes:
        batch: those of the forward and the backward pass, which grow with the batch.
        update: those of the optimizer, which do not.
        validation: those of a validation.
    """

    batch: int
    update: int
    validation: int


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes that a training takes beyond its program and libraries.

    Attributes:
        weights, gradients, optimizer, average: of the network, of the optimizer, and of the averaged weights.
        kept: the weights that are kept for the end.
        data: what is on the device from the beginning to the end.
        activations: the most that a step adds to all of these: what the forward pass saves, and what is freed at once.
        good: the state that a training goes back to after it diverged, if the settings say so.
        validation: the most that a validation adds: what it computes, or its copy of the weights, which may be kept.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    kept: int
    data: int
    good: int
    activations: int
    validation: int

    @property
    def total(self) -> int:
        """The most that is in use at once."""
        lasting = self.weights + self.gradients + self.optimizer + self.average + self.kept + self.data + self.good
        return lasting + max(self.activations, self.validation)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A training on this device.

    Attributes:
        parameters: number of trainable parameters.
        examples: in each batch; a step takes `accumulate` batches.
        steps, validations: of the whole training.
        sharded: whether several processes share the weights.
        work, memory: see there.
        step_seconds, validation_seconds: of one.
        process: bytes that the process takes at most, or on a GPU, those that torch keeps there.
    """

    parameters: int
    examples: int
    accumulate: int
    steps: int
    validations: int
    sharded: bool
    work: Work
    memory: Memory
    step_seconds: float
    validation_seconds: float
    process: int

    @property
    def seconds(self) -> float:
        """Of the whole training, without its start and its pictures."""
        return self.steps * self.step_seconds + self.validations * self.validation_seconds


def measure(build: Callable[[Any], Plan], settings: Training, *, seed: int, device: torch.device) -> Measured:
    """Count and time steps of a training, and one validation; the networks are then thrown away.

    The last steps of the training are taken, since with a body that stands still at first, these are the costly ones.

    Args:
        build: makes the plan of a training from its settings.
        settings: of the training.
        seed: of the training.
        device: where to train.

    Raises:
        FloatingPointError: the training diverges at once.
    """
    compiles = getattr(settings, "compile", False)
    # A compiled function hides its operations.
    changes: dict[str, Any] = {"max_seconds": None} | ({"compile": False} if compiles else {})
    plain: Any = dataclasses.replace(settings, **changes)
    before = {id(tensor) for tensor in tensors_in_memory()}
    task = build(plain).task
    data = [tensor for tensor in tensors_in_memory() if id(tensor) not in before and tensor.device.type == device.type]
    data_bytes = bytes_of(data) - bytes_of(_state_of(task.network))
    del data
    state = _at_the_end(dataclasses.replace(task, replayable=False), plain, seed, device)
    state.take_step()  # creates the state of the optimizers
    batch, update, step_peak = _counted_step(state)
    validation, validation_peak, validation_seconds = _counted_validation(task, state, device)
    weights, average, optimizer = _sizes(state)
    gradients = bytes_of(weight.grad for weight in task.network.parameters() if weight.grad is not None)
    memory = Memory(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        average=average,
        kept=weights,
        data=data_bytes,
        good=3 * weights + optimizer if settings.on_divergence == "rollback" else 0,
        activations=max(0, step_peak - gradients),
        validation=max(validation_peak, weights),
    )
    taken = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else peak_memory()
    rebuilt = compiles or (device.type == "cuda" and task.replayable)
    if rebuilt:
        timed: Any = dataclasses.replace(settings, max_seconds=None)
        state = _at_the_end(build(timed).task if compiles else task, timed, seed, device)
    step_seconds = _seconds_per_step(state, device, warm_up=WARM_UP if rebuilt else 1)
    steps = task.steps
    if settings.max_seconds is not None:  # as `steps_within_time` has it
        steps = max(1, int(settings.max_seconds / (step_seconds + validation_seconds / task.validate_every)))
    return Measured(
        parameters=count_parameters(task.network),
        examples=settings.batch_size,
        accumulate=settings.accumulate,
        steps=steps,
        validations=math.ceil(steps / task.validate_every),
        sharded=getattr(settings, "shard", False),
        work=Work(batch, update, validation),
        memory=memory,
        step_seconds=step_seconds,
        validation_seconds=validation_seconds,
        process=taken + memory.kept + memory.good,  # which the steps taken here did without
    )


def _at_the_end(task: Task, settings: Training, seed: int, device: torch.device) -> TrainingState:
    """The state of a training whose first step reads what one of the last steps of this task reads."""
    skipped = max(0, task.steps - WARM_UP - MOST) * settings.accumulate
    later = dataclasses.replace(
        task, examples_at=lambda number: task.examples_at(number + skipped), steps=max(task.steps, WARM_UP + MOST)
    )
    return TrainingState(later, settings, seed=seed, device=device)


def _counted_step(state: TrainingState) -> tuple[int, int, int]:
    """Operations of forward and backward pass and of the update, and the most bytes that a step makes."""
    counter, memory, before_update = _flop_counter(), LiveMemory(), []
    hook = state.optimizers[0].register_step_pre_hook(lambda *_: before_update.append(counter.get_total_flops()))
    with counter, memory:
        state.take_step()
    hook.remove()
    return before_update[0], counter.get_total_flops() - before_update[0], memory.peak


def _counted_validation(task: Task, state: TrainingState, device: torch.device) -> tuple[int, int, float]:
    """Operations, most bytes and seconds of a validation."""
    counter, memory = _flop_counter(), LiveMemory()
    wait_for(device)
    start = time.perf_counter()
    with counter, memory:
        task.validate(state.average.network.eval())
    wait_for(device)
    return counter.get_total_flops(), memory.peak, time.perf_counter() - start


def _sizes(state: TrainingState) -> tuple[int, int, int]:
    """Bytes of the weights, of their average (none, if it is the network itself) and of the optimizers."""
    network, average = state.task.network, state.average.network
    averaged = 0 if average is network else bytes_of(_state_of(average))
    return bytes_of(_state_of(network)), averaged, bytes_of(optimizer_tensors(state.optimizers).values())


def _state_of(network: torch.nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _seconds_per_step(state: TrainingState, device: torch.device, *, warm_up: int) -> float:
    for _ in range(warm_up):
        state.take_step()
    wait_for(device)
    start, taken = time.perf_counter(), 0
    while taken < FEWEST or (taken < MOST and time.perf_counter() - start < ENOUGH):
        state.take_step()
        taken += 1
    wait_for(device)
    return (time.perf_counter() - start) / taken


def _flop_counter() -> FlopCounterMode:
    """torch's counter, which does not know recurrent layers that are a single operation."""
    aten = torch.ops.aten
    recurrent = {
        aten.mkldnn_rnn_layer: _recurrent,
        aten.mkldnn_rnn_layer_backward: _recurrent_backward,
        aten._cudnn_rnn: _recurrent,
        aten._cudnn_rnn_backward: _recurrent_backward,
    }
    return FlopCounterMode(display=False, custom_mapping=recurrent)


def _recurrent(inputs: Sequence[int], *others: Any, **_: Any) -> int:
    """Each weight of the two matrices of each layer is multiplied once at every step of every sequence.

    Shapes are those of the inputs `(steps, batch, features)`, or `(all steps, features)`, and of the weights, either
    two matrices and two biases or a list of all.
    """
    weights = others[0] if isinstance(others[0][0], Sequence) else others[:2]
    matrices = sum(math.prod(shape) for shape in weights if len(shape) == 2)
    return 2 * math.prod(inputs[:-1]) * matrices


def _recurrent_backward(*shapes: Any, **kwargs: Any) -> int:
    """Gradients of the inputs and of the weights take one such product each."""
    return 2 * _recurrent(*shapes, **kwargs)
