"""A search: an Optuna study that runs one trial after another, and resumes after an interruption."""

import contextlib
import functools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quartet.artifacts.errors import BadInput
from quartet.commands.search.checkout import own_attributes
from quartet.commands.search.comparison import SCORE, Recipe, check_equal, described
from quartet.commands.search.heartbeat import SIGN, Watch
from quartet.commands.search.ranges import Space
from quartet.commands.search.report import experiment_of, write_report
from quartet.commands.search.storage import Storage, StudyUnreachableError, is_outage
from quartet.commands.search.takeover import take_up_own, take_up_vanished, tell
from quartet.commands.search.trial import run_experiment
from quartet.commands.search.workspace import WorkspaceState, workspace_state
from quartet.families import Family
from quartet.tracking import searches
from quartet.tracking.dvc_state import experiments_of

if TYPE_CHECKING:
    import optuna

FAILURES_IN_A_ROW = 3
_TAKEN_UP = "this machine was out of reach, and another one has taken up the trial"
LOOK_AGAIN = 2.0  # seconds between two looks at trials that run elsewhere


def run_search(
    family: Family, space: Space, trials: int, name: str, seed: int, address: str | None = None, grace: float = 60
) -> None:
    """Run trials until the study has `trials` finished ones; write a table and a plot, also after an interruption.

    With the address of a PostgreSQL database, all machines that run this search there share its trials; those of a
    machine that gives no sign of life for `grace` seconds are run by others.

    Raises:
        BadInput: the trials of this checkout cannot be compared with those of the search.
        StudyUnreachableError: the database does not answer.
        ValueError: trials fail.
    """
    search = Search(family, space, name, Storage(address))
    search_id, files, status = searches.search_run(name), [], "KILLED"
    with search.watched(grace):
        try:
            search.run_trials(search_id, trials, seed)
            files, status = search.storage.patiently(search.report), "FINISHED"
        finally:
            searches.end_search(search_id, files or search.report_if_possible(), status)


class Search:
    """A study, and what this process knows of it."""

    def __init__(self, family: Family, space: Space, name: str, storage: Storage) -> None:
        """Create the study or join it, and take up what killed searches of this checkout left.

        Raises:
            BadInput: the trials of this checkout cannot be compared with those of the search.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.family, self.space, self.name, self.storage = family, space, name, storage
        self._watch: Watch | None = None
        with storage.exclusive():
            # A killed trial of any study changed the workspace, maybe the settings that are read next.
            for known in optuna.get_all_study_names(storage.optuna):
                study = optuna.load_study(storage=storage.optuna, study_name=known)
                if "search" in study.user_attrs:  # others may use the database for studies of their own
                    take_up_own(study, storage.shared)
            self._recipe = self._recipe_here()
            self.study = optuna.create_study(
                storage=storage.optuna, study_name=name, direction="maximize", load_if_exists=True
            )
            self._check_same_search()

    def _recipe_here(self) -> Recipe:
        """What trials of this checkout have in common now, read while DVC is not copying the workspace."""
        workspace_state()
        return Recipe(self.family, self.space)

    def _check_unchanged(self) -> None:
        """Check that a trial that begins now is comparable with those before it.

        Raises:
            BadInput: code, settings or the user's data have changed since the search began.
        """
        if self._recipe_here().content != self._recipe.content:
            # Another search may have begun to copy the workspace, which changes settings, or was killed meanwhile.
            with self.storage.exclusive():
                take_up_own(self.study, self.storage.shared)
            check_equal(self.name, self._recipe.content, self._recipe_here().content)

    @contextlib.contextmanager
    def watched(self, grace: float) -> Iterator[None]:
        """In the block, this process gives signs of life to other machines, and notes theirs."""
        with Watch(self.study, grace) if self.storage.shared else contextlib.nullcontext() as self._watch:
            yield

    def run_trials(self, search_id: str | None, trials: int, seed: int) -> None:
        """Run trials until the study has `trials` finished ones, wherever they ran.

        Raises:
            BadInput: a trial was trained on other data than those before it, or code or settings have changed.
            StudyUnreachableError: the database does not answer any more.
            ValueError: several trials in a row failed.
        """
        import optuna

        failures = 0
        while (claimed := self._next_trial(trials, seed)) is not None:
            try:
                failures = 0 if self._run_trial(search_id, *claimed) else failures + 1
            except optuna.exceptions.UpdateFinishedTrialError:  # before its training began
                typer.echo(f"{experiment_of(self.name, claimed[0])}: {_TAKEN_UP}", err=True)
            if failures == FAILURES_IN_A_ROW:
                raise ValueError(f"{failures} trials failed in a row; the output of the last one is above")

    def report(self) -> list[Path]:
        """Write the table and the plot of the finished trials, if any; returns their paths."""
        return write_report(self.study, self.space, self.storage.shared)

    def report_if_possible(self) -> list[Path]:
        """As `report`; without a table if the database is away."""
        try:
            return self.report()
        except Exception as error:
            if not is_outage(error):
                raise
            return []

    def _next_trial(self, trials: int, seed: int) -> "tuple[optuna.Trial, WorkspaceState] | None":
        """A trial for this process, or None if the study is complete.

        While others run all trials that are left, it waits: one of them may fail, or its machine vanish.
        """
        import optuna

        said = False
        self._check_unchanged()
        while True:
            workspace = workspace_state()
            trial = self.storage.patiently(functools.partial(self._claim, trials, seed, workspace))
            if isinstance(trial, optuna.Trial):
                return trial, workspace
            if not trial:
                return None
            if not said:
                typer.echo(f"waiting for the last trials, of which {trial} run elsewhere")
            said = True
            time.sleep(LOOK_AGAIN)

    def _claim(self, trials: int, seed: int, workspace: WorkspaceState) -> "optuna.Trial | int":
        """A trial for this process; else how many run elsewhere, 0 if the study is complete."""
        import optuna

        finished, running = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING
        with self.storage.exclusive():
            take_up_own(self.study, self.storage.shared)
            if self._watch:
                take_up_vanished(self.study, self._watch)
            done = len(self.study.get_trials(deepcopy=False, states=[finished]))
            elsewhere = len(self.study.get_trials(deepcopy=False, states=[running]))
            if done + elsewhere >= trials:
                return elsewhere if done < trials else 0
            # Seeded by the number of trials, so that a resumed or shared search does not repeat its first proposals.
            self.study.sampler = optuna.samplers.TPESampler(seed=seed + len(self.study.trials))
            trial = self.study.ask()
            # Without the attribute `process`, it would count as killed.
            for key, value in own_attributes().items():
                trial.set_user_attr(key, value)
            trial.set_user_attr("workspace", workspace)
            if self._watch:
                trial.set_user_attr(SIGN, self._watch.first_sign())
        return trial

    def _run_trial(self, search_id: str | None, trial: "optuna.Trial", workspace: WorkspaceState) -> bool:
        """Run a trial; returns whether the training succeeded."""
        experiment = experiment_of(self.name, trial)
        with self._watch.following(trial) if self._watch else contextlib.nullcontext():
            settings = self.storage.patiently(lambda: self._propose(trial))
            environment = searches.begin_trial(search_id, experiment, settings)
            self.storage.patiently(lambda: trial.set_user_attr("run", environment.get(searches.PARENT_RUN, "")))
            scores = run_experiment(experiment, self.family.key, settings, environment, workspace)
            # Optuna first, since MLflow may not answer any more.
            try:
                counts = self._tell(trial.number, experiment, scores)
            except BadInput:
                searches.end_trial(environment, None)
                raise
        searches.end_trial(environment, scores if counts else None)
        if scores and counts:
            tried = ", ".join(f"{setting}={value}" for setting, value in settings.items())
            best = experiment_of(self.name, self.storage.patiently(lambda: self.study.best_trial))
            typer.echo(f"{experiment}: {SCORE} {scores[SCORE]:.6g} with {tried} (best: {best})")
        return scores is not None

    def _propose(self, trial: "optuna.Trial") -> dict[str, Any]:
        return {setting: _proposed(trial, setting, *how) for setting, how in self.space.items()}

    def _tell(self, number: int, experiment: str, scores: dict[str, float] | None) -> bool:
        """Tell a trial's result; returns whether it counts.

        Raises:
            BadInput: it was trained on other data than the trials before it.
            StudyUnreachableError: the database does not answer any more.
        """
        try:
            counts = self.storage.patiently(lambda: self._finish(number, experiment, scores))
        except StudyUnreachableError as error:
            advice = (
                f"; {experiment} has ended: its result counts when you run the same command again" if scores else ""
            )
            raise StudyUnreachableError(f"{error}{advice}") from None
        if scores and not counts:
            typer.echo(
                f"{experiment}: {_TAKEN_UP}; its score here, {scores[SCORE]:.6g}, does not count",
                err=True,
            )
        return counts

    def _finish(self, number: int, experiment: str, scores: dict[str, float] | None) -> bool:
        with self.storage.exclusive():
            if scores is None:
                return tell(self.study, number, None)
            here = self._recipe.data_of(experiment)
            try:
                check_equal(self.name, self.study.user_attrs.get("data", here), here)
            except BadInput:
                tell(self.study, number, None)
                raise
            self.study.set_user_attr("data", here)
            return tell(self.study, number, scores[SCORE])

    def _check_same_search(self) -> None:
        """Check that trials of this checkout are comparable with those of the study, and have free names here."""
        here = described(self.family, self.space)
        check_equal(self.name, self.study.user_attrs.get("search", here), here)
        recipe = self._recipe.content
        check_equal(self.name, self.study.user_attrs.get("recipe", recipe), recipe)
        for experiment in experiments_of():
            number = re.fullmatch(rf"{self.name}-(\d+)", experiment)
            if number and int(number[1]) >= len(self.study.trials):
                raise BadInput(
                    f"{experiment} is an experiment of another search here: remove it with "
                    f"`dvc exp remove {experiment}`, or choose another --name"
                )
        self.study.set_user_attr("search", here)
        self.study.set_user_attr("recipe", recipe)


def _proposed(trial: "optuna.Trial", setting: str, kind: str, *values: Any) -> Any:
    if kind == "choices":
        return trial.suggest_categorical(setting, values)
    suggest = trial.suggest_int if all(isinstance(value, int) for value in values) else trial.suggest_float
    low, high, *step = values
    return suggest(setting, low, high, log=kind == "log", **({"step": step[0]} if step else {}))
