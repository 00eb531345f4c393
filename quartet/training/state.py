"""The state of a training: it takes steps, validates, goes back after it diverged, and is saved and restored."""

import contextlib
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from quartet.params.shared import Training
from quartet.training.checkpoints import Progress
from quartet.training.ema import MovingAverage
from quartet.training.optimizers import build_optimizers, optimizer_tensors, restore_optimizers, set_learning_rate
from quartet.training.parallel.collectives import largest
from quartet.training.parallel.sharding import held_network
from quartet.training.parallel.share import processes
from quartet.training.progress_schema import by_prefix
from quartet.training.schedules import learning_rate_factor
from quartet.training.seeding import seed_step
from quartet.training.standing_still import FirstLosses
from quartet.training.steps import examples_of, steps_within_time, training_step
from quartet.training.task import Outcome, Task
from quartet.training.watching import PARTS, Diverged, Watch, advice, is_finite, what_is_not_finite

MOST_ROLLBACKS = 3
RATE_AFTER_ROLLBACK = 0.5  # of the learning rate before


class TrainingState:
    """The state of a training: network, averaged weights, optimizers, history, and the best or last weights so far.

    With `on_divergence: rollback` it also holds a copy of its last good state: that of the start, or of the last
    validation at which the training loss was at most twice the first one.

    Args:
        task, settings, seed, device: as for `train`.
        saved: the state of an interrupted training; None starts a new one.
    """

    def __init__(
        self, task: Task, settings: Training, *, seed: int, device: torch.device, saved: Progress | None = None
    ):
        self.task, self.settings, self.seed, self.device = task, settings, seed, device
        if saved is not None:
            self.steps = saved.values["steps"]  # as first measured: another number would change the schedule
        else:
            self.steps = steps_within_time(task, settings, seed, device)
        self.held = held_network(task)
        self.average = MovingAverage(self.held.network, settings.ema, self.held.copied)
        self.generator = torch.Generator(device)
        self.done = 0  # number of steps taken
        self.history: list[dict[str, float]] = []
        self.kept: dict[str, float] = {}
        self.kept_weights: dict[str, Tensor] = {}
        self.loss_sum = torch.zeros((), device=device)  # since the last validation
        self.first_losses = FirstLosses(self.steps, device)
        self.rollbacks: list[int] = []  # the steps that the training went back to
        self.good: Progress | None = None
        self._begin(saved)
        if settings.on_divergence == "rollback":
            self.good = _good_of(saved) if saved is not None else self._copy()

    def take_step(self) -> None:
        """Forward, loss, backward, update (`training_step`), and update the average of the weights.

        Raises:
            Diverged: the loss or the gradient is not finite; on a GPU, one of the next steps or `validate` raises it.
        """
        step = self.done
        seed_step(self.generator, self.seed, step)
        set_learning_rate(self.optimizers, self._rate_of(step))
        loss = self._step(examples_of(step, self.task, self.settings))
        self._watch.check(step + 1)
        self.loss_sum += loss
        self.first_losses.note(step, loss)
        self.average.update(step)
        self.done += 1

    def owes_validation(self) -> bool:
        """Whether the last step is one to validate after, and has not been."""
        is_due = self.done > 0 and (self.done % self.task.validate_every == 0 or self.done == self.steps)
        return is_due and (not self.history or self.history[-1]["step"] != self.done)

    def is_over(self) -> bool:
        """Whether all steps are taken, or patience is lost, and nothing is left to validate."""
        return not self.owes_validation() and (self.done == self.steps or self._is_out_of_patience())

    def is_finite(self) -> bool:
        """Whether every number of the state is finite; a GPU is waited for."""
        return self._what_is_not_finite() is None

    def check(self) -> None:
        """Check every number of the state, those of all steps included; a GPU is waited for.

        Raises:
            Diverged: one is not finite.
        """
        self._watch.check(self.done, wait=True)
        if what := self._what_is_not_finite():
            raise Diverged(self.done, what)

    def validate(
        self, interruptible: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    ) -> dict[str, float]:
        """Score the averaged weights and keep them if they are better (or the last); returns the new history row.

        The scoring, which changes nothing, is within `interruptible()`.

        Raises:
            Diverged: a number of the state, or a loss or score, is not finite.
        """
        self.check()
        with self.held.whole(self.average.network) as network, interruptible():
            scores = self.task.validate(network.eval())
        row = {
            "step": self.done,
            "learning_rate": self._rate_of(self.done - 1),
            "training_loss": self.loss_sum.item() / ((self.done - 1) % self.task.validate_every + 1),
            **{f"validation_{name}": value for name, value in scores.items()},
        }
        for name, value in row.items():
            if not math.isfinite(value):
                raise Diverged(self.done, f"the {name.replace('_', ' ')} is")
        self.loss_sum.zero_()
        self.history.append(row)
        keeps_last = self.settings.keep == "last" and not self.settings.patience
        # Of equal scores, keep the later weights, which were trained and averaged longer.
        if keeps_last or not self.kept or scores["score"] >= self.kept["validation_score"]:
            self.kept = row
            self.kept_weights = self.held.gathered(self.average.network.state_dict())
        if self.good is not None:
            first_loss = self.first_losses.losses[0].item()
            if row["training_loss"] <= first_loss + abs(first_loss):
                self.good = None  # makes room for the new one
                self.good = self._copy()
        return row

    def recover(self, diverged: Diverged) -> str:
        """Go back to the last good state and on with half the learning rate, as a sentence tells; or end the training.

        Raises:
            FloatingPointError: the settings say to stop, there were too many rollbacks, or another rate cannot help.
        """
        if (diverged.of_batch or processes() > 1) and not self._has_finite_batch(diverged.step - 1):
            raise FloatingPointError(
                f"{diverged}: its batch has numbers that are not finite; look for NaN and infinity in the data"
            ) from diverged
        if self.good is None:
            also = "; on_divergence: rollback goes back and tries half the rate by itself"
            raise FloatingPointError(f"{diverged}: {advice(self.settings)}{also}") from diverged
        if len(self.rollbacks) == MOST_ROLLBACKS:
            raise FloatingPointError(
                f"{diverged}, also after {MOST_ROLLBACKS} rollbacks, each with half the learning rate before: "
                f"{advice(self.settings)}"
            ) from diverged
        self.rollbacks = [*self.rollbacks, self.good.values["step"]]
        rollbacks = self.rollbacks
        self._begin(_copied(self.good))
        self.rollbacks = rollbacks
        return (
            f"{diverged}: back to step {self.done}, and on with half the learning rate, rollback {len(rollbacks)} of "
            f"at most {MOST_ROLLBACKS}; to avoid this, {advice(self.settings)}"
        )

    def outcome(self) -> Outcome:
        """The result of the training."""
        self.held.end()
        history = self.history
        if self.rollbacks:
            history = [{**row, "rollbacks": sum(to < row["step"] for to in self.rollbacks)} for row in history]
        steps, rollbacks = int(history[-1]["step"]), len(self.rollbacks)
        return Outcome(self.kept_weights, self.kept, history, steps, rollbacks, processes())

    def progress(self) -> Progress:
        """Everything that is needed to resume from here; the next step changes its tensors."""
        now = self._now(copied=False)
        if self.good is None:
            return now
        good = {f"good.{name}": tensor for name, tensor in self.good.tensors.items()}
        return Progress({**now.tensors, **good}, {**now.values, "good": self.good.values})

    def _copy(self) -> Progress:
        """The state to go back to."""
        return self._now(copied=True)

    def _now(self, *, copied: bool) -> Progress:
        values = {
            "step": self.done,
            "steps": self.steps,
            "history": list(self.history),
            "kept": self.kept,
            "rollbacks": list(self.rollbacks),
            "processes": processes(),
        }
        return Progress(self.held.gathered(self._tensors(), copied=copied), values)

    def _tensors(self) -> dict[str, Tensor]:
        return {
            **_prefixed("network", self.held.network.state_dict()),
            **_prefixed("average", self.average.network.state_dict()),
            **_prefixed("optimizers", optimizer_tensors(self.optimizers)),
            **_prefixed("kept", self.kept_weights),
            "sum.loss": self.loss_sum,
            "sum.first": self.first_losses.losses,
        }

    def _what_is_not_finite(self) -> str | None:
        """Which part of the state, in any process, has numbers that are not finite."""
        parts, what = list(PARTS.values()), what_is_not_finite(self.held.own(self._tensors()))
        number = self.held.agreed(parts.index(what) if what else -1)
        return parts[number] if number >= 0 else None

    def _begin(self, saved: Progress | None) -> None:
        """Be ready to take steps: from a state, whose tensors are used up, or from the first one."""
        # New ones: those of a training that diverged remember numbers that are not finite.
        network, sharded = self.held.network, self.held.is_sharded
        self.optimizers = build_optimizers(network, self.settings, self.device, self.task.rate_factors, sharded=sharded)
        if saved is not None:
            names = ("step", "history", "kept", "rollbacks")
            self.done, self.history, self.kept, self.rollbacks = (saved.values[name] for name in names)
            parts = by_prefix(saved.tensors)
            self.held.load(network, parts["network"])
            self.held.load(self.average.network, parts["average"])
            restore_optimizers(self.optimizers, parts["optimizers"], self.held.part)
            self.kept_weights, self.loss_sum = self.held.kept(parts["kept"]), parts["sum"]["loss"].to(self.device)
            self.first_losses.losses.copy_(parts["sum"]["first"])
        self._watch = Watch(self.device, self.done)
        # A recording of a GPU's step is made anew, since it holds the places of the former optimizers.
        self._step = training_step(
            self.task, network, self.optimizers, self.settings, self.generator, self._watch, sharded=sharded
        )

    def _rate_of(self, step: int) -> float:
        settings = self.settings
        factor = learning_rate_factor(step, self.steps, schedule=settings.schedule, warmup=settings.warmup)
        return settings.learning_rate * factor * RATE_AFTER_ROLLBACK ** len(self.rollbacks)

    def _is_out_of_patience(self) -> bool:
        """Whether the score has not improved in the last `patience` validations."""
        if not self.settings.patience or not self.history:
            return False
        scores = [row["validation_score"] for row in self.history]
        return len(scores) - 1 - scores.index(max(scores)) >= self.settings.patience

    def _has_finite_batch(self, step: int) -> bool:
        """Whether all that a step (counted from 0) reads is finite."""
        seed_step(self.generator, self.seed, step)
        batches = (self.task.batch_of(part, self.generator) for part in examples_of(step, self.task, self.settings))
        finite = all(map(is_finite, batches))
        return finite if processes() == 1 else largest(not finite)[0] == 0


def _good_of(saved: Progress) -> Progress:
    tensors = by_prefix(saved.tensors)["good"]
    return Progress(tensors, saved.values["good"])


def _copied(state: Progress) -> Progress:
    values = {name: list(value) if isinstance(value, list) else value for name, value in state.values.items()}
    return Progress({name: tensor.clone() for name, tensor in state.tensors.items()}, values)


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
