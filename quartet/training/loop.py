"""The one training loop: forward, loss, backward, update. It knows no family."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from quartet.artifacts.stop_requests import Interrupted, stop_requests
from quartet.params.shared import Training
from quartet.training.checkpoints import Checkpoint, NoCheckpoint, Progress
from quartet.training.cuda_graphs import Batch, Replayed
from quartet.training.devices import is_fast_in_bfloat16
from quartet.training.ema import MovingAverage
from quartet.training.optimizers import build_optimizers, optimizer_tensors, restore_optimizers, set_learning_rate
from quartet.training.progress_bar import progress_bar
from quartet.training.schedules import share_of_peak
from quartet.training.seeding import seed_step


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained: a network, its batches, its loss, its score.

    Attributes:
        network: on the device.
        examples_at: what the batch of a number, counted on through all steps, is made of.
        batch_of: makes a batch of such examples; its randomness comes from the generator alone.
        loss_of: the loss of the network on a batch, a scalar.
        validate: scores on the validation split, among them `score`, the higher the better.
        steps: how many to take.
        validate_every: steps between two validations.
        replayable: a step does the same operations on the same shapes each time and looks at no values, so that a GPU
            may replay a recording of it.

    The network is Any to `loss_of` and `validate`, since each family knows what its own network offers.
    """

    network: nn.Module
    examples_at: Callable[[int], Batch]
    batch_of: Callable[[Batch, torch.Generator], Batch]
    loss_of: Callable[[Any, Batch], Tensor]
    validate: Callable[[Any], dict[str, float]]
    steps: int
    validate_every: int
    replayable: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The weights that are kept, the history, a row per validation, and the row of the kept weights."""

    weights: dict[str, Tensor]
    kept: dict[str, float]
    history: list[dict[str, float]]
    steps: int


def train(
    task: Task,
    settings: Training,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | NoCheckpoint,
    on_validation: Callable[[dict[str, float]], None] = lambda row: None,
    quiet: bool = False,
) -> Outcome:
    """Train, keeping the weights of the best validation score or, as the settings have it, the last.

    An interrupted training goes on from its checkpoint and ends with the same bytes. `quiet` shows no progress.

    Raises:
        FloatingPointError: the loss is not finite.
        Interrupted: SIGTERM came; the checkpoint is saved.
    """
    saved = checkpoint.load()
    training = OngoingTraining(task, settings, seed=seed, device=device, saved=saved)
    if saved is not None:
        for row in training.history:
            on_validation(row)
        print(f"going on from step {training.done} of {training.steps}", flush=True)
    with stop_requests() as stop_requested, progress_bar(training.steps, training.done, quiet) as bar:
        while training.done < training.steps:
            if training.is_out_of_patience():
                print(f"no better score in {settings.patience} validations: ended at step {training.done}", flush=True)
                break
            training.take_step()
            bar.advance()
            if training.is_due_for_validation():
                row = training.validate()
                bar.describe(row)
                checkpoint.save(training.progress())
                on_validation(row)
            if stop_requested() and training.done < training.steps:
                checkpoint.save(training.progress())
                checkpoint.close(finished=False)
                print(f"stopped at step {training.done} of {training.steps}; the same command goes on from there")
                raise Interrupted(143)
    return training.outcome()


class OngoingTraining:
    """A training at some step: network, averaged weights, optimizers, history, and the weights that are kept so far.

    Args:
        task, settings, seed, device: as for `train`.
        saved: where an interrupted training stood; None begins a new one.
    """

    def __init__(
        self, task: Task, settings: Training, *, seed: int, device: torch.device, saved: Progress | None = None
    ):
        self.task, self.settings, self.seed = task, settings, seed
        if saved is not None:
            self.steps = saved.values["steps"]  # as measured when it began: another number would be another schedule
        else:
            self.steps = affordable_steps(task, settings, seed, device)
        self.optimizers = build_optimizers(task.network, settings, device)
        self.average = MovingAverage(task.network, settings.ema)
        self.generator = torch.Generator(device)
        self.done, self.rate = 0, 0.0  # steps, and the learning rate of the last one
        self.history: list[dict[str, float]] = []
        self.kept: dict[str, float] = {}
        self.kept_weights: dict[str, Tensor] = {}
        self.loss_sum = torch.zeros((), device=device)  # since the last validation
        if saved is not None:
            self._restore(saved)
        self._step = training_step(task, task.network, self.optimizers, settings, self.generator)

    def take_step(self) -> None:
        """Forward, loss, backward, update (`training_step`), and the average of the weights.

        Raises:
            FloatingPointError: the loss is not finite, as far as that is known without waiting for a GPU.
        """
        step, settings = self.done, self.settings
        seed_step(self.generator, self.seed, step)
        share = share_of_peak(step, self.steps, schedule=settings.schedule, warmup=settings.warmup)
        self.rate = settings.learning_rate * share
        set_learning_rate(self.optimizers, self.rate)
        loss = self._step(_examples_of(step, self.task, settings))
        if _known_to_be_wrong(loss):
            raise FloatingPointError(_NOT_FINITE.format(step=step + 1))
        self.loss_sum += loss
        self.average.update(step)
        self.done += 1

    def is_due_for_validation(self) -> bool:
        """Whether the last step is one after which to validate."""
        return self.done % self.task.validate_every == 0 or self.done == self.steps

    def validate(self) -> dict[str, float]:
        """Score the averaged weights, keep them if they are to be kept; returns the new row of the history.

        Raises:
            FloatingPointError: a loss or score is not finite.
        """
        scores = self.task.validate(self.average.network.eval())
        row = {
            "step": self.done,
            "learning_rate": self.rate,
            "training_loss": self.loss_sum.item() / ((self.done - 1) % self.task.validate_every + 1),
            **{f"validation_{name}": value for name, value in scores.items()},
        }
        if not all(map(math.isfinite, row.values())):
            raise FloatingPointError(_NOT_FINITE.format(step=self.done))
        self.loss_sum.zero_()
        self.history.append(row)
        keeps_last = self.settings.keep == "last" and not self.settings.patience
        # Of equal scores the later weights, which are trained and averaged longer.
        if keeps_last or not self.kept or scores["score"] >= self.kept["validation_score"]:
            self.kept = row
            self.kept_weights = {k: v.detach().clone() for k, v in self.average.network.state_dict().items()}
        return row

    def is_out_of_patience(self) -> bool:
        """Whether the score has not become better for as many validations as `patience` allows."""
        if not self.settings.patience or not self.history:
            return False
        scores = [row["validation_score"] for row in self.history]
        return len(scores) - 1 - scores.index(max(scores)) >= self.settings.patience

    def outcome(self) -> Outcome:
        """What the training leaves."""
        return Outcome(self.kept_weights, self.kept, self.history, int(self.history[-1]["step"]))

    def progress(self) -> Progress:
        """All that is needed to go on from here."""
        tensors = {
            **_prefixed("network", self.task.network.state_dict()),
            **_prefixed("average", self.average.network.state_dict()),
            **_prefixed("optimizers", optimizer_tensors(self.optimizers)),
            **_prefixed("kept", self.kept_weights),
            "sum.loss": self.loss_sum,
        }
        values = {"step": self.done, "steps": self.steps, "history": self.history, "kept": self.kept}
        return Progress({k: v.clone() for k, v in tensors.items()}, values)

    def _restore(self, saved: Progress) -> None:
        self.done, self.history, self.kept = (saved.values[name] for name in ("step", "history", "kept"))
        parts = _take_apart(saved.tensors)
        self.task.network.load_state_dict(parts["network"])
        self.average.network.load_state_dict(parts["average"])
        restore_optimizers(self.optimizers, parts["optimizers"])
        self.kept_weights, self.loss_sum = parts["kept"], parts["sum"]["loss"].to(self.loss_sum.device)


def _examples_of(step: int, task: Task, settings: Training) -> Iterator[Batch]:
    """Of the batches that a step accumulates."""
    return map(task.examples_at, range(step * settings.accumulate, (step + 1) * settings.accumulate))


def training_step(
    task: Task,
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    settings: Training,
    generator: torch.Generator,
) -> Callable[[Iterable[Batch]], Tensor]:
    """A function that takes one step on the examples of batches, whose gradients are averaged, and returns their mean
    loss. Each batch is made when its turn comes, so that one at a time is in memory."""
    device = generator.device

    def step(examples: Iterable[Batch]) -> Tensor:
        network.train()
        network.zero_grad(set_to_none=True)
        losses = torch.zeros((), device=device)
        for batch in (task.batch_of(part, generator) for part in examples):
            with _precision(settings, device):
                loss = task.loss_of(network, batch) / settings.accumulate  # forward, loss
            loss.backward()  # back-propagation
            losses += loss.detach()
        if _known_to_be_wrong(losses):
            return losses  # the weights stay
        if settings.clip:
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        for optimizer in optimizers:
            optimizer.step()  # update
        return losses

    return Replayed(step, generator) if device.type == "cuda" and task.replayable else step


def _precision(settings: Training, device: torch.device) -> torch.autocast:
    """Matrix products and convolutions in the precision that the settings name."""
    chosen = settings.precision == "bfloat16" or (settings.precision == "auto" and is_fast_in_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=chosen)


_NOT_FINITE = "the loss is not finite at step {step}: lower learning_rate, raise warmup or set clip"


def _known_to_be_wrong(loss: Tensor) -> bool:
    """Whether a loss is not finite; on a GPU looking at it would stall every step, and the sum is looked at later."""
    return loss.device.type == "cpu" and not math.isfinite(loss.item())


def affordable_steps(task: Task, settings: Training, seed: int, device: torch.device) -> int:
    """Steps that fit into `max_seconds`, timed on a copy that is thrown away: `steps` then rebuilds the same bytes.

    Without `max_seconds` those of the task.
    """
    if settings.max_seconds is None:
        return task.steps
    network = copy.deepcopy(task.network)
    optimizers = build_optimizers(network, settings, device)
    generator = torch.Generator(device)
    take_step = training_step(task, network, optimizers, settings, generator)
    warm_up, timed = 5, 20
    for step in range(warm_up + timed):
        if step == warm_up:
            wait_for(device)
            start = time.perf_counter()
        seed_step(generator, seed, step)
        take_step(_examples_of(step, task, settings))
    wait_for(device)
    seconds_per_step = (time.perf_counter() - start) / timed
    start = time.perf_counter()
    task.validate(network.eval())
    seconds_per_step += (time.perf_counter() - start) / task.validate_every
    return max(1, int(settings.max_seconds / seconds_per_step))


def wait_for(device: torch.device) -> None:
    """Until the device has done all it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _take_apart(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {p: {} for p in ("network", "average", "optimizers", "kept", "sum")}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(".")
        parts[prefix][rest] = tensor
    return parts
