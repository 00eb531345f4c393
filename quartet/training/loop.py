"""The training loop of all families: forward, loss, backward, update."""

import contextlib
from collections.abc import Callable

import torch

from quartet.artifacts.stop_requests import Interrupted, StopRequests, stop_requests
from quartet.params.shared import Training
from quartet.training.checkpoints import Checkpoint, NoCheckpoint, Progress
from quartet.training.optimizers import build_optimizers
from quartet.training.parallel.collectives import largest, of_first
from quartet.training.parallel.layers import share_layers
from quartet.training.parallel.share import processes
from quartet.training.progress_bar import Bar, progress_bar
from quartet.training.progress_schema import check_progress
from quartet.training.standing_still import chance_warning
from quartet.training.state import TrainingState
from quartet.training.task import Outcome, Task
from quartet.training.watching import Diverged


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

    An interrupted training resumes from its checkpoint and gives the same bytes. `quiet` shows no progress. Where
    several processes train together, all of them call this; the first one saves checkpoints and prints.

    Raises:
        BadInput: a layer of the network cannot be shared by several processes.
        FloatingPointError: the loss or another number is not finite, and the settings say to stop, or going back does
            not help; the last checkpoint, which is finite, stays.
        Interrupted: SIGINT, SIGHUP or SIGTERM arrived; a checkpoint is saved, if the disk takes it.
        LostProcess: another process has died or hangs; the last checkpoint stays.
    """
    training = _begun(task, settings, seed, device, checkpoint)
    for row in training.history:
        on_validation(row)
    with stop_requests() as stop, progress_bar(training.steps, training.done, quiet) as bar:
        try:
            while not training.is_over():
                diverged = None
                try:
                    _go_on(training, checkpoint, bar, stop, on_validation)
                except Diverged as found:
                    diverged = found
                received = stop.received
                if processes() > 1:
                    received, diverged = _agreed(stop, diverged)
                if diverged:
                    print(training.recover(diverged), flush=True)
                    bar.move_to(training.done)
                if received is not None:
                    raise Interrupted(128 + received)
        except Interrupted:
            saved = training.is_finite() and checkpoint.save(training.progress())
            checkpoint.close(finished=False)
            where = "" if saved or quiet else " from the last checkpoint, if there is one"
            print(
                f"stopped at step {training.done} of {training.steps}; run the same command again to resume{where}",
                flush=True,
            )
            raise
        if training.done < training.steps:
            print(f"no better score in {settings.patience} validations: ended at step {training.done}", flush=True)
        if task.chance is not None and not quiet:
            bar.warn(chance_warning(training.kept["validation_score"], task.chance()))
    return training.outcome()


def _begun(
    task: Task, settings: Training, seed: int, device: torch.device, checkpoint: Checkpoint | NoCheckpoint
) -> TrainingState:
    """The state of a training that begins, or goes on from its checkpoint."""
    saved = checkpoint.load(_check_of(task, settings, device))
    if processes() > 1:
        share_layers(task.network)
        saved = of_first(saved)
    training = TrainingState(task, settings, seed=seed, device=device, saved=saved)
    if saved is not None:
        print(f"resuming from step {training.done} of {training.steps}", flush=True)
        if saved.values["processes"] != processes():
            others = f"{saved.values['processes']} before, {processes()} now"
            print(f"another number of processes ({others}): the result is the same within rounding", flush=True)
    return training


def _go_on(
    training: TrainingState,
    checkpoint: Checkpoint | NoCheckpoint,
    bar: Bar,
    stop: StopRequests,
    on_validation: Callable[[dict[str, float]], None],
) -> None:
    """Validate if it is time, and otherwise take a step.

    Raises:
        Diverged: a number of the training is not finite.
    """
    if training.owes_validation():
        # Several processes work on a validation together, so none of them stops at once.
        at_once = contextlib.nullcontext if processes() > 1 else stop.at_once
        row = training.validate(at_once)
        bar.describe(row)
        _save_if_due(checkpoint, training, good_moment=True)
        with at_once():
            on_validation(row)
    else:
        training.take_step()
        bar.advance()
        if training.settings.start_from is None:  # a trained network has little to gain so soon
            bar.warn(training.first_losses.warning(training.done))
        _save_if_due(checkpoint, training)


def _agreed(stop: StopRequests, diverged: Diverged | None) -> tuple[int | None, Diverged | None]:
    """What any of the processes has found after this step: a signal to stop, or numbers that are not finite.

    On a GPU, they look at their numbers at different times. A signal that arrives meanwhile is agreed on after the next
    step: all of them stop after the same one.
    """
    received, step = largest(stop.received or 0, diverged.step if diverged else 0)
    if received:
        stop.received = received
    return received or None, diverged or (Diverged(step, "a number of another process is") if step else None)


def _check_of(task: Task, settings: Training, device: torch.device) -> Callable[[Progress], None]:
    """Raises ValueError if a state does not fit the task."""

    def check(saved: Progress) -> None:
        optimizers = build_optimizers(task.network, settings, device, task.rate_factors)
        check_progress(saved, task.network, optimizers, goes_back=settings.on_divergence == "rollback")

    return check


def _save_if_due(checkpoint: Checkpoint | NoCheckpoint, training: TrainingState, *, good_moment: bool = False) -> None:
    """Save a checkpoint if it is time.

    Raises:
        Diverged: a number in it is not finite; it is not saved.
    """
    if training.held.agreed(checkpoint.is_due(good_moment=good_moment)):
        training.check()
        checkpoint.save(training.progress())
