"""A search: an Optuna study whose trials are run one after another, taken up where it was cut off."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quartet.artifacts import paths
from quartet.artifacts.processes import is_alive, this_process
from quartet.commands.search.ranges import Space
from quartet.commands.search.trial import run_experiment
from quartet.commands.search.workspace import restore, workspace_state
from quartet.families import Family
from quartet.tracking import searches, store

if TYPE_CHECKING:
    import optuna
    import pandas

SCORE = "validation_score"  # the higher the better, in every family
FAILURES_IN_A_ROW = 3


def run_search(family: Family, space: Space, trials: int, name: str, seed: int) -> None:
    """Trials until the study has so many finished ones; a table and a plot of those, also if it ends before."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = paths.home() / ".quartet"
    folder.mkdir(exist_ok=True)
    with store.lock("searches"):  # of two that begin at once, one makes the database
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'searches.db'}")
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        _check_same_search(study, family, space)
        for known in optuna.get_all_study_names(storage):  # a trial of any may have left the workspace changed
            _take_up_what_was_cut_off(optuna.load_study(storage=storage, study_name=known))
    search_id, status = searches.search_run(name), "KILLED"
    try:
        _run_trials(study, search_id, family, space, trials, seed)
        status = "FINISHED"
    finally:
        searches.end_search(search_id, _leave_report(study, space), status)


def _run_trials(
    study: "optuna.Study", search_id: str | None, family: Family, space: Space, trials: int, seed: int
) -> None:
    import optuna

    failures = 0
    while len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) < trials:
        # By the number of the trial: a search that goes on, or is shared, does not draw its first proposals again.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
        workspace = workspace_state()
        with store.lock("searches"):  # a trial without its process would count as cut off
            trial = study.ask()
            trial.set_user_attr("process", this_process())
            trial.set_user_attr("workspace", workspace)
        settings = {setting: _proposed(trial, setting, *how) for setting, how in space.items()}
        experiment = _experiment_of(study, trial)
        environment = searches.begin_trial(search_id, experiment, settings)
        scores = run_experiment(experiment, family.key, settings, environment, workspace)
        # Optuna first, as MLflow may be gone by now; without a value the trial counts as failed.
        study.tell(trial, scores[SCORE] if scores else None, state=None if scores else optuna.trial.TrialState.FAIL)
        searches.end_trial(environment, scores)
        if scores is None:
            failures += 1
            if failures == FAILURES_IN_A_ROW:
                raise ValueError(f"{failures} trials failed one after another; what the last one said is above")
            continue
        failures = 0
        told = ", ".join(f"{setting}={value}" for setting, value in settings.items())
        best = _experiment_of(study, study.best_trial)
        typer.echo(f"{experiment}: {SCORE} {scores[SCORE]:.6g} with {told} (best: {best})")


def _leave_report(study: "optuna.Study", space: Space) -> list[Path]:
    """The table of the finished trials and their plot; nothing where none has finished."""
    from quartet.artifacts.writing import write_table
    from quartet.reporting.figures import save_figure
    from quartet.reporting.parallel_coordinates import parallel_coordinates

    table, folder = _table(study), paths.REPORTS / "searches" / study.study_name
    if table.empty:
        return []
    files = [folder / "trials.csv", folder / "parallel.png"]
    write_table(files[0], table)
    log = frozenset(setting for setting, how in space.items() if how[0] == "log")
    save_figure(parallel_coordinates(table.drop(columns="experiment"), SCORE, log), files[1])
    best = _experiment_of(study, study.best_trial)
    typer.echo(f"{folder}: {len(table)} trials; `dvc exp apply {best}` brings the best one")
    return files


def _experiment_of(study: "optuna.Study", trial: "optuna.trial.BaseTrial | optuna.trial.FrozenTrial") -> str:
    """The name of a trial's DVC experiment."""
    return f"{study.study_name}-{trial.number}"


def _proposed(trial: "optuna.Trial", setting: str, kind: str, *values: Any) -> Any:
    if kind == "choices":
        return trial.suggest_categorical(setting, values)
    suggest = trial.suggest_int if all(isinstance(value, int) for value in values) else trial.suggest_float
    return suggest(setting, *values, log=kind == "log")


def _check_same_search(study: "optuna.Study", family: Family, space: Space) -> None:
    described = {"family": family.key, **{setting: list(how) for setting, how in space.items()}}
    before = study.user_attrs.get("search", described)
    if before != described:
        raise ValueError(f"a search of this name tries {before}; give this one another with --name")
    study.set_user_attr("search", described)


def _take_up_what_was_cut_off(study: "optuna.Study") -> None:
    """Trials whose process is gone are tried again, and the workspace is as it was before them."""
    import optuna

    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        if not is_alive(trial.user_attrs.get("process", "")):
            experiment, workspace = _experiment_of(study, trial), trial.user_attrs.get("workspace")
            if workspace and restore(workspace, experiment):
                typer.echo(
                    f"{experiment} was killed while DVC copied the workspace; that is as it was before, "
                    "and what else lay there is in `git stash list`"
                )
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if trial.params:
                study.enqueue_trial(trial.params)


def _table(study: "optuna.Study") -> "pandas.DataFrame":
    """A row per finished trial: experiment, settings, score; the best first."""
    import optuna
    import pandas as pd

    finished = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    rows = [{"experiment": _experiment_of(study, t), **t.params, SCORE: t.value} for t in finished]
    return pd.DataFrame(rows).sort_values(SCORE, ascending=False) if rows else pd.DataFrame()
