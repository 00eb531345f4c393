"""`python -m quartet search FAMILY SETTING=RANGE…`: let Optuna try settings, each trial a DVC experiment."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import clear_errors

Family = StrEnum("Family", list(paths.FAMILIES))
SCORE = "validation_score"  # the higher the better, in every family
FAILURES_IN_A_ROW = 3
_NUMBER = r"(-?(?:\d+(?:\.\d+)?|\.\d+)(?:e-?\d+)?)"
_RANGE = re.compile(rf"(log:)?{_NUMBER}\.\.{_NUMBER}")


def search(
    family: Annotated[Family, typer.Argument(help="Which model to train.")],
    ranges: Annotated[
        list[str],
        typer.Argument(
            help="What to try: train_cnn.width=16..64, train_cnn.learning_rate=log:0.001..0.02 or "
            "train_cnn.activation=relu,gelu",
            metavar="SETTING=RANGE...",
        ),
    ],
    trials: Annotated[int, typer.Option(help="Finished trials that the search shall have.", min=1)] = 20,
    name: Annotated[
        str | None, typer.Option(help="The search; one of this name goes on. The family by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of Optuna's sampler.", min=0)] = 0,
) -> None:
    """Train with settings that Optuna proposes, to the best validation score; stop it and it goes on where it was.

    Each trial is the DVC experiment NAME-NUMBER, which `dvc exp apply` brings into the workspace, and a run in MLflow
    below the search's. Writes reports/searches/NAME/trials.csv and parallel.png. Several at once share the work.
    """
    with clear_errors("search"):
        name = name or family.value
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise ValueError(f"--name: found {name!r}, allowed are small letters, digits and hyphens, a letter first")
        space = parsed(ranges, family.value)
        run_search(family.value, space, trials, name, seed)


def parsed(ranges: list[str], family: str) -> dict[str, tuple]:
    """Setting → `("log" | "linear", low, high)` or `("choices", values…)`.

    Raises:
        ValueError: there is no such setting, the family's training does not read it, or the range cannot be read.
    """
    from quartet.params.table import every_setting

    known = {setting: allowed for setting, _, allowed, _ in every_setting()}
    space: dict[str, tuple] = {}
    for text in ranges:
        setting, _, values = text.partition("=")
        if setting not in known:
            raise ValueError(f"{text!r}: there is no setting {setting!r}; `python -m quartet settings` lists them")
        part, _, _ = setting.partition(".")
        if part == "evaluate" or (part.startswith("train_") and part != f"train_{family}"):
            raise ValueError(f"{text!r}: the training of {family} does not read {setting}; every trial would be alike")
        match = _RANGE.fullmatch(values)
        if match:
            whole = "whole number" in known[setting]
            if whole and re.search(r"[.e]", match[2] + match[3]):
                raise ValueError(f"{text!r}: {setting} takes whole numbers")
            low, high = (int(end) if whole else float(end) for end in match.groups()[1:])
            if not low < high or (match[1] and low <= 0):
                raise ValueError(f"{text!r}: a range is low..high, low below high, and above 0 for log:")
            space[setting] = ("log" if match[1] else "linear", low, high)
        elif len(choices := [value for value in values.split(",") if value]) > 1:
            space[setting] = ("choices", *choices)
        else:
            raise ValueError(f"{text!r}: expected SETTING=low..high, SETTING=log:low..high or SETTING=one,other")
    return space


def run_search(family: str, space: Mapping[str, tuple], trials: int, name: str, seed: int) -> None:
    """Trials until the study has so many finished ones; a table and a plot of those, also if it ends before."""
    import optuna

    from quartet.tracking import searches, store

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


def _run_trials(study, search_id: str | None, family: str, space: Mapping[str, tuple], trials: int, seed: int) -> None:
    import optuna

    from quartet.tracking import searches, store
    from quartet.tracking.processes import this_process
    from quartet.tracking.workspace import workspace_state

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
        scores = _run_experiment(experiment, family, settings, environment, workspace)
        # Optuna first, as MLflow may be gone by now; without a value the trial counts as failed.
        study.tell(trial, scores and scores[SCORE], state=None if scores else optuna.trial.TrialState.FAIL)
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


def _leave_report(study, space: Mapping[str, tuple]) -> list[Path]:
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


def _experiment_of(study, trial) -> str:
    """The name of a trial's DVC experiment."""
    return f"{study.study_name}-{trial.number}"


def _proposed(trial, setting: str, kind: str, *values):
    if kind == "choices":
        return trial.suggest_categorical(setting, values)
    suggest = trial.suggest_int if all(isinstance(value, int) for value in values) else trial.suggest_float
    return suggest(setting, *values, log=kind == "log")


def _run_experiment(
    experiment: str, family: str, settings: Mapping, environment: Mapping, workspace: Mapping
) -> dict | None:
    """The scores of a DVC experiment in a copy of the workspace; None if it failed."""
    import sys

    from quartet.tracking.dvc_state import read_json_at

    changes = [word for setting, value in settings.items() for word in ("-S", f"{setting}={value}")]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", experiment, *changes, f"train-{family}"]
    status, said = _run_to_its_end(command, environment, workspace)
    if status:
        typer.echo(said[-4000:], err=True)
        return None
    scores = read_json_at(paths.report(family) / "training.json", experiment)
    return {key: value for key, value in scores.items() if key.startswith(("validation_", "training_"))}


def _run_to_its_end(command: list[str], environment: Mapping, workspace: Mapping) -> tuple[int, str]:
    """The exit status and the output of a command that, when this process is told to stop, may clean up before it.

    DVC changes the workspace for a moment while it copies it, and restores it if it is not killed.
    """
    import contextlib
    import signal
    import subprocess
    import tempfile

    import psutil

    from quartet.tracking.workspace import attach_head

    def terminated(*_):
        for started in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                started.send_signal(signal.SIGINT)  # as a terminal's Ctrl-C, which reaches all of them
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT)
            try:
                process.wait()
            except KeyboardInterrupt:
                process.wait()
                attach_head(workspace)
                raise
            output.seek(0)
            return process.returncode, output.read()
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_same_search(study, family: str, space: Mapping[str, tuple]) -> None:
    described = {"family": family, **{setting: list(how) for setting, how in space.items()}}
    before = study.user_attrs.get("search", described)
    if before != described:
        raise ValueError(f"a search of this name tries {before}; give this one another with --name")
    study.set_user_attr("search", described)


def _take_up_what_was_cut_off(study) -> None:
    """Trials whose process is gone are tried again, and the workspace is as it was before them."""
    import optuna

    from quartet.tracking.processes import is_alive
    from quartet.tracking.workspace import restore

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


def _table(study):
    """A row per finished trial: experiment, settings, score; the best first."""
    import optuna
    import pandas as pd

    finished = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    rows = [{"experiment": _experiment_of(study, t), **t.params, SCORE: t.value} for t in finished]
    return pd.DataFrame(rows).sort_values(SCORE, ascending=False) if rows else pd.DataFrame()
