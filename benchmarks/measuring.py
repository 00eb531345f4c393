"""Helpers for the benchmarks: prepare MNIST, run functions in separate processes, measure scores over training time."""

import contextlib
import dataclasses
import importlib
import io
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts.fetching import Fetching
from quartet.artifacts.memory import peak_memory
from quartet.images.settings import PreprocessImages
from quartet.params.shared import Training

if TYPE_CHECKING:
    import pandas as pd


def prepare_mnist(mirror: str | None, folder: Path, settings: PreprocessImages) -> None:
    """Download MNIST and prepare it in `folder`."""
    from quartet.artifacts.writing import write_json
    from quartet.images.preparation import prepare_images
    from quartet.images.sources import download_images

    raw = folder / "raw"
    write_json(raw / "manifest.json", download_images("mnist", Fetching(mirror=mirror), raw))
    prepare_images(raw, folder, settings)


def in_own_process(function, *arguments, cores: set[int] | None = None):
    """Call a function in a new process, so that measurements do not affect each other.

    `cores` are the CPU cores that it may use, by default all.

    Returns:
        The function's result, and its peak memory in GiB.
    """
    initializer = {"initializer": os.sched_setaffinity, "initargs": (0, cores)} if cores else {}
    context = multiprocessing.get_context("spawn")
    # An executor's processes, unlike a pool's, may start some of their own, as a DataLoader does.
    with ProcessPoolExecutor(1, mp_context=context, **initializer) as executor:
        return executor.submit(_with_memory, function, *arguments).result()


def _with_memory(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()):
        result = function(*arguments)
    return result, peak_memory() / 2**30


def scores_over_time(task, settings: Training, seed: int, device) -> list[tuple[int, float, dict[str, float]]]:
    """Train; returns `(examples, seconds, scores)` at each validation; seconds are of training only."""
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.loop import train
    from quartet.training.steps import wait_for

    points, scoring = [], 0.0

    def validate(network):
        nonlocal scoring
        wait_for(device)
        start = time.perf_counter()
        seconds = start - begin - scoring
        scores = task.validate(network)
        step = min((len(points) + 1) * task.validate_every, task.steps)
        points.append((step * settings.batch_size * settings.accumulate, seconds, scores))
        scoring += time.perf_counter() - start
        return scores

    importlib.import_module("torch._dynamo")  # imported by torch's optimizers on first use, which is not training time
    begin = time.perf_counter()
    train(dataclasses.replace(task, validate=validate), settings, seed=seed, device=device, checkpoint=NoCheckpoint())
    return points


def mean_and_spread(accuracies: "pd.Series") -> str:
    """The mean, with the standard deviation if there are several seeds; a dash if some were not measured."""
    if accuracies.isna().any():
        return "–"
    return f"{accuracies.mean():.4f}" + (f" ± {accuracies.std():.4f}" if len(accuracies) > 1 else "")
