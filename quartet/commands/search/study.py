"""A search: an Optuna study that runs one trial after another, and resumes after an interruption."""

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

SCORE = "validation_score"  # in every family, higher is better
FAILURES_IN_A_ROW = 3


def run_search(family: Family, space: Space, trials: int, name: str, seed: int) -> None:
    """Run trials until the study has `trials` finished ones; write a table and a plot, also after an interruption."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = paths.repository() / ".quartet"
    folder.mkdir(exist_ok=True)
    with store.lock("searches"):  # only one of two new searches may create the database
        storage = optuna.storages.RDBStorage(store.sqlite_address(folder / "searches.db"))
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        _check_same_search(study, family, space)
        for known in optuna.get_all_study_names(storage):  # a killed trial of any study may have changed the workspace
            _retry_killed_trials(optuna.load_study(storage=storage, study_name=known))
    search_id, status = searches.search_run(name), "KILLED"
    try:
        _run_trials(study, search_id, family, space, trials, seed)
        status = "FINISHED"
    finally:
        searches.end_search(search_id, _write_report(study, space), status)


def _run_trials(
    study: "optuna.Study", search_id: str | None, family: Family, space: Space, trials: int, seed: int
) -> None:
    import optuna

    failures = 0
    while len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) < trials:
        # Seeded by the number of trials, so that a resumed or shared search does not repeat its first proposals.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
        workspace = workspace_state()
        with store.lock("searches"):  # a trial without the attribute `process` would count as killed
            trial = study.ask()
            trial.set_user_attr("process", this_process())
            trial.set_user_attr("workspace", workspace)
        settings = {setting: _proposed(trial, setting, *how) for setting, how in space.items()}
        experiment = _experiment_of(study, trial)
        environment = searches.begin_trial(search_id, experiment, settings)
        scores = run_experiment(experiment, family.key, settings, environment, workspace)
        # Optuna first, since MLflow may not answer any more.
        study.tell(trial, scores[SCORE] if scores else None, state=None if scores else optuna.trial.TrialState.FAIL)
        searches.end_trial(environment, scores)
        if scores is None:
            failures += 1
            if failures == FAILURES_IN_A_ROW:
                raise ValueError(f"{failures} trials failed in a row; the output of the last one is above")
            continue
        failures = 0
        tried = ", ".join(f"{setting}={value}" for setting, value in settings.items())
        best = _experiment_of(study, study.best_trial)
        typer.echo(f"{experiment}: {SCORE} {scores[SCORE]:.6g} with {tried} (best: {best})")


def _write_report(study: "optuna.Study", space: Space) -> list[Path]:
    """Write the table and the plot of the finished trials, if any; returns their paths."""
    from quartet.artifacts.writing import write_table
    from quartet.reporting.drawing.figures import save_figure
    from quartet.reporting.parallel_coordinates import parallel_coordinates

    table, folder = _table(study), paths.REPORTS / "searches" / study.study_name
    if table.empty:
        return []
    files = [folder / "trials.csv", folder / "parallel.png"]
    write_table(files[0], table)
    log = frozenset(setting for setting, how in space.items() if how[0] == "log")
    save_figure(parallel_coordinates(table.drop(columns="experiment"), SCORE, log), files[1])
    best = _experiment_of(study, study.best_trial)
    typer.echo(f"{folder}: {len(table)} trials; `dvc exp apply {best}` applies the best one")
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
        raise ValueError(f"there is a search of this name that tries {before}; choose another --name")
    study.set_user_attr("search", described)


def _retry_killed_trials(study: "optuna.Study") -> None:
    """Restore the workspace as it was before trials whose process is gone, and queue their settings again."""
    import optuna

    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        if not is_alive(trial.user_attrs.get("process", "")):
            experiment, workspace = _experiment_of(study, trial), trial.user_attrs.get("workspace")
            if workspace and restore(workspace, experiment):
                typer.echo(
                    f"{experiment} was killed while DVC copied the workspace; the workspace is restored, "
                    "and other changes that were in it are in `git stash list`"
                )
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if trial.params:
                study.enqueue_trial(trial.params)


def _table(study: "optuna.Study") -> "pandas.DataFrame":
    """One row per finished trial: experiment, settings, score; the best first."""
    import optuna
    import pandas as pd

    finished = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    rows = [{"experiment": _experiment_of(study, t), **t.params, SCORE: t.value} for t in finished]
    return pd.DataFrame(rows).sort_values(SCORE, ascending=False) if rows else pd.DataFrame()
