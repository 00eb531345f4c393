"""Trials whose process or machine is gone: their results are taken, or their settings are queued again."""

from typing import TYPE_CHECKING

import typer

from quartet.commands.search.checkout import is_own, is_running
from quartet.commands.search.comparison import SCORE
from quartet.commands.search.heartbeat import SIGN, Watch
from quartet.commands.search.report import experiment_of
from quartet.commands.search.trial import finished_scores
from quartet.commands.search.workspace import restore
from quartet.tracking import searches

if TYPE_CHECKING:
    import optuna


def take_up_own(study: "optuna.Study", shared: bool) -> None:
    """Take up the trials of this checkout whose process is gone, after restoring the workspace as it was before them.

    The score of one whose experiment had ended is told; the settings of the others are queued again. In the database of
    one checkout, all trials are its own.
    """
    for trial in _running(study):
        attributes = trial.user_attrs
        if is_running(attributes) if not shared else not is_own(attributes) or is_running(attributes):
            continue
        experiment, workspace = experiment_of(study.study_name, trial), attributes.get("workspace")
        if workspace and restore(workspace, experiment):
            typer.echo(
                f"{experiment} was killed while DVC copied the workspace; the workspace is restored, "
                "and other changes that were in it are in `git stash list`"
            )
        scores = finished_scores(experiment, study.user_attrs["search"]["family"], trial.params)
        if scores:
            if tell(study, trial.number, scores[SCORE]):
                searches.end_trial({searches.PARENT_RUN: attributes.get("run", "")}, scores)
                typer.echo(f"{experiment} had ended: {SCORE} {scores[SCORE]:.6g}")
        else:
            _queue_again(study, trial)


def take_up_vanished(study: "optuna.Study", watch: Watch) -> None:
    """Queue the settings of trials of other checkouts that give no sign of life any more."""
    for trial in _running(study):
        if watch.has_vanished(trial) and _queue_again(study, trial):
            where = trial.user_attrs.get("checkout", "an unknown checkout")
            seconds = trial.user_attrs.get(SIGN, {}).get("grace")
            since = f" for {seconds:g} s" if seconds else ""
            experiment = experiment_of(study.study_name, trial)
            typer.echo(f"{experiment} on {where} has given no sign of life{since}: its settings are tried again")


def tell(study: "optuna.Study", number: int, score: float | None) -> bool:
    """Tell Optuna the score of a trial, None if it failed; returns whether it counts.

    It does not if another machine has taken up the trial meanwhile.
    """
    import optuna

    complete, failed = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL
    state = failed if score is None else complete
    try:
        # It is there already if the connection broke just after it was told.
        told = study.tell(number, score, state=state, skip_if_finished=True)
    except optuna.exceptions.UpdateFinishedTrialError:
        return False
    return told.state == state and told.value == score


def _running(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    import optuna

    return study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])


def _queue_again(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> bool:
    """Mark a trial as failed, and queue its settings; returns whether that was done."""
    taken = tell(study, trial.number, None)
    if taken and trial.params:
        study.enqueue_trial(trial.params)
    return taken
