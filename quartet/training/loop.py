"""The one training loop: forward, loss, backward, update. It knows no family."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from quartet.params.sections import Training
from quartet.training.checkpoints import Checkpoint, NoCheckpoint, Progress
from quartet.training.cuda_graphs import Batch, Replayed
from quartet.training.ema import MovingAverage
from quartet.training.interruption import Interrupted, stop_requests
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
    """

    network: nn.Module
    examples_at: Callable[[int], Batch]
    batch_of: Callable[[Batch, torch.Generator], Batch]
    loss_of: Callable[[nn.Module, Batch], Tensor]
    validate: Callable[[nn.Module], dict[str, float]]
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
) -> Outcome:
    """Train, keeping the weights of the best validation score or, as the settings have it, the last.

    An interrupted training goes on from its checkpoint and ends with the same bytes.

    Raises:
        FloatingPointError: the loss is not finite.
        Interrupted: SIGTERM came; the checkpoint is saved.
    """
    network, saved = task.network, checkpoint.load()
    if saved is not None:
        steps = saved.values["steps"]  # as measured when it began: another number would be another schedule
    elif settings.max_seconds is not None:
        steps = affordable_steps(task, settings, seed, device)
    else:
        steps = task.steps
    optimizers = build_optimizers(network, settings, device)
    average = MovingAverage(network, settings.ema)
    generator = torch.Generator(device)
    history: list[dict[str, float]] = []
    kept: dict[str, float] = {}
    kept_weights: dict[str, Tensor] = {}
    keeps_last = settings.keep == "last" and not settings.patience
    loss_sum = torch.zeros((), device=device)
    first = 0

    if saved is not None:
        first, history, kept = saved.values["step"], saved.values["history"], saved.values["kept"]
        parts = _take_apart(saved.tensors)
        network.load_state_dict(parts["network"])
        average.network.load_state_dict(parts["average"])
        restore_optimizers(optimizers, parts["optimizers"])
        kept_weights, loss_sum = parts["kept"], parts["sum"]["loss"].to(device)
        for row in history:
            on_validation(row)
        print(f"going on from step {first} of {steps}", flush=True)

    take_step = training_step(task, network, optimizers, settings, generator)

    def progress(step: int) -> Progress:
        tensors = {
            **_prefixed("network", network.state_dict()),
            **_prefixed("average", average.network.state_dict()),
            **_prefixed("optimizers", optimizer_tensors(optimizers)),
            **_prefixed("kept", kept_weights),
            "sum.loss": loss_sum,
        }
        values = {"step": step, "steps": steps, "history": history, "kept": kept}
        return Progress({k: v.clone() for k, v in tensors.items()}, values)

    with stop_requests() as stop_requested, progress_bar(steps, first) as bar:
        for step in range(first, steps):
            if settings.patience and _without_progress(history) >= settings.patience:
                print(f"no better score in {settings.patience} validations: ended at step {step}", flush=True)
                break
            seed_step(generator, seed, step)
            rate = settings.learning_rate * share_of_peak(
                step, steps, schedule=settings.schedule, warmup=settings.warmup
            )
            set_learning_rate(optimizers, rate)
            loss = take_step(_examples_of(step, task, settings))  # forward, loss, backward, update: `training_step`
            if _known_to_be_wrong(loss):
                raise FloatingPointError(_NOT_FINITE.format(step=step + 1))
            loss_sum += loss
            average.update(step)
            bar.advance()

            done = step + 1
            if done % task.validate_every == 0 or done == steps:
                since = (done - 1) % task.validate_every + 1
                scores = task.validate(average.network.eval())
                row = {
                    "step": done,
                    "learning_rate": rate,
                    "training_loss": loss_sum.item() / since,
                    **{f"validation_{name}": value for name, value in scores.items()},
                }
                if not all(map(math.isfinite, row.values())):
                    raise FloatingPointError(_NOT_FINITE.format(step=done))
                loss_sum.zero_()
                history.append(row)
                # Of equal scores the later weights, which are trained and averaged longer.
                if keeps_last or not kept or scores["score"] >= kept["validation_score"]:
                    kept = row
                    kept_weights = {k: v.detach().clone() for k, v in average.network.state_dict().items()}
                bar.describe(row)
                checkpoint.save(progress(done))
                on_validation(row)
            if stop_requested() and done < steps:
                checkpoint.save(progress(done))
                checkpoint.close(finished=False)
                print(f"stopped at step {done} of {steps}; the same command goes on from there", flush=True)
                raise Interrupted(143)
    return Outcome(kept_weights, kept, history, history[-1]["step"])


def _without_progress(history: list[dict[str, float]]) -> int:
    """Validations since the best score was first reached."""
    scores = [row["validation_score"] for row in history]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


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
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")


_NOT_FINITE = "the loss is not finite at step {step}: lower learning_rate, raise warmup or set clip"


def _known_to_be_wrong(loss: Tensor) -> bool:
    """Whether a loss is not finite; on a GPU looking at it would stall every step, and the sum is looked at later."""
    return loss.device.type == "cpu" and not math.isfinite(loss.item())


def affordable_steps(task: Task, settings: Training, seed: int, device: torch.device) -> int:
    """Steps that fit into `max_seconds`, timed on a copy that is thrown away: `steps` then rebuilds the same bytes."""
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
