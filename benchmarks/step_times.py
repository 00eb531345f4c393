"""Times of training steps in a process of their own: the loop's, the bare ones, those that several processes share.

The loop is `train` with another validation, which costs nothing: it notes the time. What is timed is thus everything
between two validations, with the progress, the checks of the numbers, the moving average and the kept weights.
"""

import copy
import dataclasses
import importlib
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import nn

from benchmarks.measuring import in_own_process
from quartet.artifacts.writing import read_json
from quartet.commands.plan.measuring import measure
from quartet.families import FAMILIES
from quartet.params.shared import Training
from quartet.settings import read_settings
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.devices import is_fast_in_bfloat16
from quartet.training.loop import train
from quartet.training.optimizers import build_optimizers
from quartet.training.parallel.collectives import joined
from quartet.training.run import Plan
from quartet.training.seeding import seed_everything, seed_step
from quartet.training.steps import examples_of
from quartet.training.task import Batch, Task

CPU = torch.device("cpu")
BATCHES = 20  # of bare steps, made before they are timed
MATRIX, PRODUCTS = 2048, 12  # side of the matrices whose product is timed, and how often


def prepared_plan(folder: Path, key: str) -> tuple[Callable[[Any], Plan], Training, int]:
    """A function that plans a family's training on its data in `folder`; the settings of the training; the seed."""
    family, settings = FAMILIES[key], read_settings(folder / "params.yaml")
    data = folder / "data/processed" / family.item
    info, planning = read_json(data / "info.json"), resolve_name(family.plan)
    seed_everything(settings.seed)

    def build(training: Any) -> Plan:
        return planning(training, seed=settings.seed, folder=data, info=info, device=CPU)

    return build, settings.training(key), settings.seed


def loop_against_bare(folder: Path, key: str, threads: int | None, rounds: int, steps: int | None) -> dict[str, Any]:
    """Seconds per step of the loop and of the bare steps, in turn, and how many operations a step and a processor do.

    Args:
        folder: with `params.yaml` and the prepared data.
        key: of the family.
        threads: of torch; None takes its own choice.
        rounds: how often to time both.
        steps: of each, in a round; None takes as many as there are between two validations.

    Returns:
        `loop` and `bare`, seconds per step, one for each round; `operations` of a step; `rate`, of a matrix product per
        second, in the format of the training.
    """
    _begin(threads)
    build, settings, seed = prepared_plan(folder, key)
    work = measure(build, settings, seed=seed, device=CPU).work
    task = build(settings).task
    bare = Stopwatch(bare_steps(copy.deepcopy(task.network), task, settings, seed))
    number = steps or task.validate_every
    loop = loop_times(task, settings, seed, rounds, number, bare)
    rate = matrix_product_rate(torch.bfloat16 if uses_bfloat16(settings) else torch.float32)
    by_round = [bare.times[start : start + number] for start in range(number, len(bare.times), number)]
    means = [statistics.mean(times) for times in by_round]
    return {"loop": loop, "bare": means, "operations": work.batch + work.update, "rate": rate}


class Stopwatch:
    """Calls a function, and notes in `times` how many seconds each call takes."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function, self.times = function, list[float]()

    def __call__(self) -> None:
        start = time.perf_counter()
        self.function()
        self.times.append(time.perf_counter() - start)


class LoopClock:
    """Notes in `times` the seconds per step between two validations; another function's calls are not counted.

    Args:
        task, settings: of the training.
        steps: between two validations.
        between: called before each step.
    """

    def __init__(self, task: Task, settings: Training, steps: int, between: Callable[[], None]) -> None:
        self.task, self.settings, self.steps, self.times = task, settings, steps, list[float]()
        self.between = Stopwatch(between)
        self._begin()

    def examples_at(self, number: int) -> Batch:
        """Those of the task; what comes between is called before the first batch of each step."""
        if number % self.settings.accumulate == 0:
            self.between()
        return self.task.examples_at(number)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Note the time; the score is better each time, so that the weights are kept, as usual."""
        self.times.append((time.perf_counter() - self.start - sum(self.between.times)) / self.steps)
        self._begin()
        return {"score": float(len(self.times))}

    def _begin(self) -> None:
        self.between.times.clear()
        self.start = time.perf_counter()


def loop_times(
    task: Task,
    settings: Training,
    seed: int,
    rounds: int,
    steps: int,
    between: Callable[[], None] = lambda: None,
) -> list[float]:
    """Seconds per step of the training loop, over `rounds` times `steps` in a row.

    There is one round before, which is not counted. `between` is called before each step; its time is not counted.
    """
    clock = LoopClock(task, settings, steps, between)
    timed = dataclasses.replace(
        task,
        validate=clock.validate,
        examples_at=clock.examples_at,
        validate_every=steps,
        steps=steps * (rounds + 1),
        chance=None,
    )
    settings = dataclasses.replace(settings, max_seconds=None, patience=None)
    train(timed, settings, seed=seed, device=CPU, checkpoint=NoCheckpoint(), quiet=True)
    return clock.times[1:]


def bare_steps(network: nn.Module, task: Task, settings: Training, seed: int) -> Callable[[], None]:
    """A function that takes the next step of a network on batches made before: forward, backward, update.

    It clips the gradient, if the settings say so, since the update needs that.
    """
    network.train()
    optimizers = build_optimizers(network, settings, CPU, task.rate_factors)
    batches = _endless(task, settings, seed)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        for batch in next(batches):
            with torch.autocast("cpu", torch.bfloat16, enabled=uses_bfloat16(settings)):
                loss = task.loss_of(network, batch) / settings.accumulate
            loss.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        for optimizer in optimizers:
            optimizer.step()

    return step


def _endless(task: Task, settings: Training, seed: int) -> Iterator[list[Batch]]:
    """The batches of the first steps, over and over."""
    generator, made = torch.Generator(CPU), []
    for step in range(BATCHES):
        seed_step(generator, seed, step)
        made.append([task.batch_of(examples, generator) for examples in examples_of(step, task, settings)])
    while True:
        yield from made


def uses_bfloat16(settings: Training) -> bool:
    """Whether a training computes matrix products in bfloat16 here."""
    return settings.precision == "bfloat16" or (settings.precision == "auto" and is_fast_in_bfloat16(CPU))


def matrix_product_rate(kind: torch.dtype) -> float:
    """Operations per second of the fastest of some products of two large square matrices."""
    left, right = torch.randn(2, MATRIX, MATRIX).to(kind)
    seconds = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return 2 * MATRIX**3 / min(seconds)


def seconds_of_processes(folder: Path, key: str, processes: int, rounds: int, steps: int | None) -> float:
    """Seconds per step, the median, of a training by several processes with one thread each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ThreadPoolExecutor(processes) as pool:
        members = [
            pool.submit(in_own_process, _member, folder, key, (rank, processes, port), rounds, steps)
            for rank in range(processes)
        ]
        return max(member.result()[0] for member in members)


def _member(folder: Path, key: str, place: tuple[int, int, int], rounds: int, steps: int | None) -> float:
    rank, processes, port = place
    _begin(1)
    if processes == 1:
        return _median(folder, key, rounds, steps)
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "WORLD_SIZE": processes}
    os.environ.update({name: str(value) for name, value in where.items()})
    with joined(CPU, 300):
        return _median(folder, key, rounds, steps)


def _median(folder: Path, key: str, rounds: int, steps: int | None) -> float:
    build, settings, seed = prepared_plan(folder, key)
    task = build(settings).task
    return statistics.median(loop_times(task, settings, seed, rounds, steps or task.validate_every))


def _begin(threads: int | None) -> None:
    importlib.import_module("torch._dynamo")  # imported by torch's optimizers on first use, which is not training time
    if threads is not None:
        torch.set_num_threads(threads)
