"""One training step, and how many of them fit into a time."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from quartet.params.shared import Training
from quartet.training.cuda_graphs import ReplayedStep
from quartet.training.devices import is_fast_in_bfloat16
from quartet.training.optimizers import build_optimizers
from quartet.training.parallel.collectives import number_of_first, sum_over_processes, total
from quartet.training.parallel.gradients import sum_gradients
from quartet.training.parallel.layers import begin_batch
from quartet.training.parallel.sharding import exchanging, whole_tensor
from quartet.training.parallel.share import own_count, processes
from quartet.training.seeding import seed_step
from quartet.training.task import Batch, Task
from quartet.training.watching import Watch


def examples_of(step: int, task: Task, settings: Training) -> Iterator[Batch]:
    """The examples of the batches that a step accumulates."""
    return map(task.examples_at, range(step * settings.accumulate, (step + 1) * settings.accumulate))


def training_step(
    task: Task,
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    settings: Training,
    generator: torch.Generator,
    watch: Watch,
    *,
    sharded: bool = False,
) -> Callable[[Iterable[Batch]], Tensor]:
    """A function that takes one step and returns the mean loss.

    It averages the gradients of several batches. Each batch is made just before it is used, so that only one is in
    memory. A loss or gradient that is known not to be finite changes no weights; `watch` tells of it.

    Several processes have a part of each batch each. The sum of their gradients is that of the whole batch, and all of
    them take the same step. The backward pass of a `sharded` network sums gradients itself.
    """
    device, together = generator.device, processes() > 1

    def step(examples: Iterable[Batch]) -> Tensor:
        network.train()
        network.zero_grad(set_to_none=True)
        losses = torch.zeros((), device=device)
        for whole in examples:
            if together:
                begin_batch(len(whole[0]))
            batch = task.batch_of(whole, generator)
            with _precision(settings, device):
                loss = task.loss_of(network, batch) / settings.accumulate  # forward, loss
            if together:
                loss = loss * _share_of(task, whole, batch)
            loss.backward()  # back-propagation
            losses += loss.detach()
        if sharded:
            sum_over_processes([losses])
        elif together:
            sum_gradients(network, losses)
        if watch.knows("loss", losses):
            return losses
        gradient_norm = whole_tensor(_clipped(network, settings.clip))
        if watch.knows("gradient norm", gradient_norm):
            return losses
        watch.count(losses, gradient_norm)
        for optimizer in optimizers:
            optimizer.step()  # update
        return losses

    if sharded:
        return exchanging()(step)
    return ReplayedStep(step, generator) if device.type == "cuda" and task.replayable and not together else step


def _share_of(task: Task, whole: Batch, batch: Batch) -> Tensor | float:
    """The share of this process's part in the mean over the whole batch."""
    if task.weight_of is None:
        return own_count(len(whole[0])) / len(whole[0])
    weight = task.weight_of(batch) if own_count(len(whole[0])) else torch.zeros((), device=batch[0].device)
    return weight / total(weight)


def _clipped(network: nn.Module, clip: float) -> Tensor:
    """The norm of all gradients together, before they are clipped to `clip` (0 does not clip)."""
    if clip:
        return nn.utils.clip_grad_norm_(network.parameters(), clip)
    return nn.utils.get_total_norm([weight.grad for weight in network.parameters() if weight.grad is not None])


def _precision(settings: Training, device: torch.device) -> torch.autocast:
    """Autocast matrix products and convolutions to the precision in the settings."""
    chosen = settings.precision == "bfloat16" or (settings.precision == "auto" and is_fast_in_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=chosen)


def steps_within_time(task: Task, settings: Training, seed: int, device: torch.device) -> int:
    """How many steps fit into `max_seconds`, or the task's `steps` if it is not set.

    Steps are timed on a copy of the network, so that a training with this number as `steps` gives the same bytes.
    """
    if settings.max_seconds is None:
        return task.steps
    network = copy.deepcopy(task.network)
    optimizers = build_optimizers(network, settings, device, task.rate_factors)
    generator = torch.Generator(device)
    take_step = training_step(task, network, optimizers, settings, generator, Watch(device))
    warm_up, timed = 5, 20
    for step in range(warm_up + timed):
        if step == warm_up:
            wait_for(device)
            start = time.perf_counter()
        seed_step(generator, seed, step)
        take_step(examples_of(step, task, settings))
    wait_for(device)
    seconds_per_step = (time.perf_counter() - start) / timed
    start = time.perf_counter()
    task.validate(network.eval())
    seconds_per_step += (time.perf_counter() - start) / task.validate_every
    steps = max(1, int(settings.max_seconds / seconds_per_step))
    return number_of_first(steps) if processes() > 1 else steps


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
