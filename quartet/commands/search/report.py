"""What a search leaves: a table of its finished trials, and a plot."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from quartet.artifacts import paths
from quartet.commands.search.checkout import is_own
from quartet.commands.search.comparison import SCORE
from quartet.commands.search.ranges import Space

if TYPE_CHECKING:
    import optuna
    import pandas


def write_report(study: "optuna.Study", space: Space, shared: bool) -> list[Path]:
    """Write the table and the plot of the finished trials, if any; returns their paths."""
    from quartet.artifacts.writing import write_table
    from quartet.reporting.drawing.figures import save_figure
    from quartet.reporting.parallel_coordinates import parallel_coordinates

    table, folder = _table(study, shared), paths.REPORTS / "searches" / study.study_name
    if table.empty:
        return []
    files = [folder / "trials.csv", folder / "parallel.png"]
    write_table(files[0], table)
    log = frozenset(setting for setting, how in space.items() if how[0] == "log")
    save_figure(parallel_coordinates(table[[*space, SCORE]], SCORE, log), files[1])
    typer.echo(f"{folder}: {len(table)} trials; {_how_to_apply(study.best_trial, study.study_name, shared)}")
    return files


def experiment_of(name: str, trial: "optuna.trial.BaseTrial | optuna.trial.FrozenTrial") -> str:
    """The name of the DVC experiment of a trial of the search `name`."""
    return f"{name}-{trial.number}"


def _how_to_apply(best: "optuna.trial.FrozenTrial", name: str, shared: bool) -> str:
    experiment = experiment_of(name, best)
    if shared and not is_own(best.user_attrs):
        where = best.user_attrs.get("checkout", "another checkout")
        return (
            f"the best one, {experiment}, is an experiment of {where}: `dvc exp push origin {experiment}` there and "
            f"`dvc exp pull origin {experiment}` here bring it"
        )
    return f"`dvc exp apply {experiment}` applies the best one"


def _table(study: "optuna.Study", shared: bool) -> "pandas.DataFrame":
    """One row per finished trial: experiment, settings, score, and of a shared search the checkout; the best first."""
    import optuna
    import pandas as pd

    finished = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    rows = [
        {"experiment": experiment_of(study.study_name, trial), **trial.params, SCORE: trial.value}
        | ({"checkout": trial.user_attrs.get("checkout", "")} if shared else {})
        for trial in finished
    ]
    return pd.DataFrame(rows).sort_values(SCORE, ascending=False) if rows else pd.DataFrame()
