"""The training loop of all families: forward, loss, backward, update."""

import contextlib
import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from quartet.artifacts.stop_requests import Interrupted, stop_requests
from quartet.params.shared import Training
from quartet.training.checkpoints import Checkpoint, NoCheckpoint, Progress
from quartet.training.cuda_graphs import Batch, ReplayedStep
from quartet.training.devices import is_fast_in_bfloat16
from quartet.training.ema import MovingAverage
from quartet.training.optimizers import build_optimizers, optimizer_tensors, restore_optimizers, set_learning_rate
from quartet.training.progress_bar import progress_bar
from quartet.training.progress_schema import by_prefix, check_progress
from quartet.training.schedules import learning_rate_factor
from quartet.training.seeding import seed_step


@dataclasses.dataclass(frozen=True)
class Task:
    """What to train: a network, its batches, loss and score.

    Attributes:
        network: on the device.
        examples_at: the examples of a batch, by its number, which is counted from the start of the training.
        batch_of: makes a batch of these examples; all its randomness comes from the generator.
        loss_of: the network's loss on a batch, a scalar.
        validate: scores on the validation split, among them `score`, where higher is better.
        steps: number of training steps.
        validate_every: steps between validations.
        replayable: every step runs the same operations on the same shapes and does not branch on values, so that a GPU
            may replay a recording of it.
        rate_factors: factors on the learning rate of the network's parameters, by name; the others have 1.

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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a training.

    Attributes:
        weights: those that are kept.
        kept: the row of the history at which they were kept.
        history: one row per validation.
        steps: how many were taken.
    """

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
    """Train, keeping the weights with the best validation score or, depending on the settings, the last ones.

    An interrupted training resumes from its checkpoint and gives the same bytes. `quiet` shows no progress.

    Raises:
        FloatingPointError: the loss is not finite.
        Interrupted: SIGINT, SIGHUP or SIGTERM arrived; the checkpoint is saved.
    """
    saved = checkpoint.load(_check_of(task, settings, device))
    training = TrainingState(task, settings, seed=seed, device=device, saved=saved)
    if saved is not None:
        for row in training.history:
            on_validation(row)
        print(f"resuming from step {training.done} of {training.steps}", flush=True)
    with stop_requests() as stop, progress_bar(training.steps, training.done, quiet) as bar:
        try:
            while True:
                if training.owes_validation():
                    row = training.validate(stop.at_once)
                    bar.describe(row)
                    _save_if_due(checkpoint, training, good_moment=True)
                    with stop.at_once():
                        on_validation(row)
                elif training.done == training.steps:
                    break
                elif training.is_out_of_patience():
                    print(
                        f"no better score in {settings.patience} validations: ended at step {training.done}", flush=True
                    )
                    break
                else:
                    training.take_step()
                    bar.advance()
                    _save_if_due(checkpoint, training)
                stop.check()
        except Interrupted:
            if training.is_finite():
                checkpoint.save(training.progress())
            checkpoint.close(finished=False)
            print(
                f"stopped at step {training.done} of {training.steps}; run the same command again to resume", flush=True
            )
            raise
    return training.outcome()


def _check_of(task: Task, settings: Training, device: torch.device) -> Callable[[Progress], None]:
    """Raises ValueError if a state does not fit the task."""

    def check(saved: Progress) -> None:
        optimizers = build_optimizers(task.network, settings, device, task.rate_factors)
        check_progress(saved, task.network, optimizers)

    return check


def _save_if_due(
    checkpoint: Checkpoint | NoCheckpoint, training: "TrainingState", *, good_moment: bool = False
) -> None:
    """Save a checkpoint if it is time, and if its numbers are finite: no training could go on from others."""
    if checkpoint.is_due(good_moment=good_moment) and training.is_finite():
        checkpoint.save(training.progress())


class TrainingState:
    """The state of a training: network, averaged weights, optimizers, history, and the best or last weights so far.

    Args:
        task, settings, seed, device: as for `train`.
        saved: the state of an interrupted training; None starts a new one.
    """

    def __init__(
        self, task: Task, settings: Training, *, seed: int, device: torch.device, saved: Progress | None = None
    ):
        self.task, self.settings, self.seed = task, settings, seed
        if saved is not None:
            self.steps = saved.values["steps"]  # as first measured: another number would change the schedule
        else:
            self.steps = steps_within_time(task, settings, seed, device)
        self.optimizers = build_optimizers(task.network, settings, device, task.rate_factors)
        self.average = MovingAverage(task.network, settings.ema)
        self.generator = torch.Generator(device)
        self.done = 0  # number of steps taken
        self.history: list[dict[str, float]] = []
        self.kept: dict[str, float] = {}
        self.kept_weights: dict[str, Tensor] = {}
        self.loss_sum = torch.zeros((), device=device)  # since the last validation
        if saved is not None:
            self._restore(saved)
        self._step = training_step(task, task.network, self.optimizers, settings, self.generator)

    def take_step(self) -> None:
        """Forward, loss, backward, update (`training_step`), and update the average of the weights.

        Raises:
            FloatingPointError: the loss is not finite; on a GPU, `validate` raises it instead.
        """
        step, settings = self.done, self.settings
        seed_step(self.generator, self.seed, step)
        set_learning_rate(self.optimizers, self._rate_of(step))
        loss = self._step(_examples_of(step, self.task, settings))
        if _is_known_not_finite(loss):
            raise FloatingPointError(_NOT_FINITE.format(step=step + 1))
        self.loss_sum += loss
        self.average.update(step)
        self.done += 1

    def owes_validation(self) -> bool:
        """Whether the last step is one to validate after, and has not been."""
        is_due = self.done > 0 and (self.done % self.task.validate_every == 0 or self.done == self.steps)
        return is_due and (not self.history or self.history[-1]["step"] != self.done)

    def is_finite(self) -> bool:
        """Whether the losses since the last validation and the weights are finite; a GPU has to wait for this."""
        numbers = (self.loss_sum, *self.task.network.parameters())
        return bool(torch.stack([tensor.detach().isfinite().all() for tensor in numbers]).all())

    def validate(
        self, interruptible: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    ) -> dict[str, float]:
        """Score the averaged weights and keep them if they are better (or the last); returns the new history row.

        The scoring, which changes nothing, is within `interruptible()`.

        Raises:
            FloatingPointError: a loss or score is not finite.
        """
        with interruptible():
            scores = self.task.validate(self.average.network.eval())
        row = {
            "step": self.done,
            "learning_rate": self._rate_of(self.done - 1),
            "training_loss": self.loss_sum.item() / ((self.done - 1) % self.task.validate_every + 1),
            **{f"validation_{name}": value for name, value in scores.items()},
        }
        if not all(map(math.isfinite, row.values())):
            raise FloatingPointError(_NOT_FINITE.format(step=self.done))
        self.loss_sum.zero_()
        self.history.append(row)
        keeps_last = self.settings.keep == "last" and not self.settings.patience
        # Of equal scores, keep the later weights, which were trained and averaged longer.
        if keeps_last or not self.kept or scores["score"] >= self.kept["validation_score"]:
            self.kept = row
            self.kept_weights = {k: v.detach().clone() for k, v in self.average.network.state_dict().items()}
        return row

    def is_out_of_patience(self) -> bool:
        """Whether the score has not improved in the last `patience` validations."""
        if not self.settings.patience or not self.history:
            return False
        scores = [row["validation_score"] for row in self.history]
        return len(scores) - 1 - scores.index(max(scores)) >= self.settings.patience

    def outcome(self) -> Outcome:
        """The result of the training."""
        return Outcome(self.kept_weights, self.kept, self.history, int(self.history[-1]["step"]))

    def progress(self) -> Progress:
        """Everything that is needed to resume from here."""
        tensors = {
            **_prefixed("network", self.task.network.state_dict()),
            **_prefixed("average", self.average.network.state_dict()),
            **_prefixed("optimizers", optimizer_tensors(self.optimizers)),
            **_prefixed("kept", self.kept_weights),
            "sum.loss": self.loss_sum,
        }
        values = {"step": self.done, "steps": self.steps, "history": self.history, "kept": self.kept}
        return Progress({k: v.clone() for k, v in tensors.items()}, values)

    def _rate_of(self, step: int) -> float:
        settings = self.settings
        factor = learning_rate_factor(step, self.steps, schedule=settings.schedule, warmup=settings.warmup)
        return settings.learning_rate * factor

    def _restore(self, saved: Progress) -> None:
        self.done, self.history, self.kept = (saved.values[name] for name in ("step", "history", "kept"))
        parts = by_prefix(saved.tensors)
        self.task.network.load_state_dict(parts["network"])
        self.average.network.load_state_dict(parts["average"])
        restore_optimizers(self.optimizers, parts["optimizers"])
        self.kept_weights, self.loss_sum = parts["kept"], parts["sum"]["loss"].to(self.loss_sum.device)


def _examples_of(step: int, task: Task, settings: Training) -> Iterator[Batch]:
    """The examples of the batches that a step accumulates."""
    return map(task.examples_at, range(step * settings.accumulate, (step + 1) * settings.accumulate))


def training_step(
    task: Task,
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    settings: Training,
    generator: torch.Generator,
) -> Callable[[Iterable[Batch]], Tensor]:
    """A function that takes one step and returns the mean loss.

    It averages the gradients of several batches. Each batch is made just before it is used, so that only one is in
    memory.
    """
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
        if _is_known_not_finite(losses):
            return losses  # without changing the weights
        if settings.clip:
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        for optimizer in optimizers:
            optimizer.step()  # update
        return losses

    return ReplayedStep(step, generator) if device.type == "cuda" and task.replayable else step


def _precision(settings: Training, device: torch.device) -> torch.autocast:
    """Autocast matrix products and convolutions to the precision in the settings."""
    chosen = settings.precision == "bfloat16" or (settings.precision == "auto" and is_fast_in_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=chosen)


_NOT_FINITE = "the loss is not finite at step {step}: lower learning_rate, raise warmup or set clip"


def _is_known_not_finite(loss: Tensor) -> bool:
    """Whether a loss on a CPU is not finite; a GPU would have to wait at each step, so `validate` checks the sum."""
    return loss.device.type == "cpu" and not math.isfinite(loss.item())


def steps_within_time(task: Task, settings: Training, seed: int, device: torch.device) -> int:
    """How many steps fit into `max_seconds`, or the task's `steps` if it is not set.

    Steps are timed on a copy of the network, so that a training with this number as `steps` gives the same bytes.
    """
    if settings.max_seconds is None:
        return task.steps
    network = copy.deepcopy(task.network)
    optimizers = build_optimizers(network, settings, device, task.rate_factors)
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
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
