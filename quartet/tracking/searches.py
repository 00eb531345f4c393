"""A search in MLflow: a run for the search, a child run per trial, and below it the runs of the trial's stages."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from quartet.artifacts import paths
from quartet.artifacts.processes import process_tags
from quartet.tracking import store
from quartet.tracking.journal import Journal
from quartet.tracking.runs import PARENT_RUN
from quartet.tracking.sending import send_all


def search_run(name: str) -> str | None:
    """The id of the run of the search `name`, created if there is none; None without tracking, and if it is for later.

    Raises:
        TrackingUnreachableError: there is a tracking server, and it does not answer.
    """
    if store.mode() != "on":
        return None
    client, experiment = store.open_store()
    # Members of a team may give searches the same name; the checkout tells them apart.
    tags = {"quartet.search": name, "quartet.checkout": quote(f"{socket.gethostname()}:{paths.repository()}")}
    own = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    with store.lock("parent-run"):
        found = client.search_runs([experiment], own, max_results=1)
        if found:
            return found[0].info.run_id
        return client.create_run(experiment, run_name=f"search {name}", tags=tags).info.run_id


def begin_trial(search: str | None, name: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Start a trial's run; returns the environment variables that make its stages log below it."""
    if search is None:
        return dict(os.environ)
    with _warning("the trial's run is"):  # an outage stops no search
        client, experiment = store.open_store()
        tags = {"mlflow.parentRunId": search, **process_tags()}
        run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        for setting, value in settings.items():
            client.log_param(run_id, setting, value)
        return {**os.environ, PARENT_RUN: run_id}
    return dict(os.environ)


def end_trial(environment: Mapping[str, str], scores: Mapping[str, float] | None) -> None:
    """End a trial's run with its scores; None means that the trial failed."""
    if run_id := environment.get(PARENT_RUN):
        with _warning("the trial's scores, which the next stage or `python -m quartet sync` sends, are still"):
            _end(run_id, "trial", "FAILED" if scores is None else "FINISHED", scores or {}, ())


def end_search(search: str | None, files: Iterable[Path], status: str) -> None:
    """Log the table and the plot to the search's run and end it: FINISHED, or KILLED if trials are left."""
    if search is not None:
        with _warning("the search's table and plot, which the next stage or `python -m quartet sync` sends, are still"):
            _end(search, "search", status, {}, files)


def _end(run_id: str, what: str, status: str, scores: Mapping[str, float], files: Iterable[Path]) -> None:
    """End a run by a journal, which stays for the next stage if MLflow does not answer."""
    journal = Journal.create(what)
    journal.append("begin", stage=what, params={}, tags=process_tags(), parent=None)
    journal.append("log_scores", scores=scores, step=0)
    for path in files:
        journal.append("log_file", file=journal.keep(path), folder=None)
    journal.append("end", status=status)
    journal.confirm({"run_id": run_id, "position": 0, "tracker": store.shown_address()})
    send_all(journal)


@contextlib.contextmanager
def _warning(what: str) -> Iterator[None]:
    """Turn errors into a warning, since Optuna and DVC have the results anyway."""
    try:
        yield
    except Exception as error:  # a dead server can cause exceptions of many libraries
        print(f"warning: {what} not in MLflow: {store.failure(error)}", file=sys.stderr, flush=True)
