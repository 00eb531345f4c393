"""A search in MLflow: one run for the search, one below it per trial, and below that the runs of the trial's stages."""

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
from quartet.tracking.recorder import PARENT_RUN


def search_run(name: str) -> str | None:
    """The run of the search `name`, made if there is none; None if runs are not tracked.

    Raises:
        TrackingUnreachableError: there is a tracking server and it does not answer.
    """
    if not store.is_on():
        return None
    client, experiment = store.open_store()
    # The checkout tells apart what members of a team call by the same name.
    tags = {"quartet.search": name, "quartet.checkout": quote(f"{socket.gethostname()}:{paths.home()}")}
    own = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    with store.lock("parent-run"):
        found = client.search_runs([experiment], own, max_results=1)
        if found:
            return found[0].info.run_id
        return client.create_run(experiment, run_name=f"search {name}", tags=tags).info.run_id


def begin_trial(search: str | None, name: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Start a trial's run; returns the environment in which its stages log below it."""
    if search is None:
        return dict(os.environ)
    client, experiment = store.open_store()
    tags = {"mlflow.parentRunId": search, **process_tags()}
    run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    for setting, value in settings.items():
        client.log_param(run_id, setting, value)
    return {**os.environ, PARENT_RUN: run_id}


def end_trial(environment: Mapping[str, str], scores: Mapping[str, float] | None) -> None:
    """End a trial's run with its scores; None is a trial that failed."""
    run_id = environment.get(PARENT_RUN)
    if run_id is None:
        return
    with _warning("the trial's scores are"):
        client, _ = store.open_store()
        for name, value in (scores or {}).items():
            client.log_metric(run_id, name, value)
        client.set_terminated(run_id, "FINISHED" if scores is not None else "FAILED")


def end_search(search: str | None, files: Iterable[Path], status: str) -> None:
    """Put the table and the plot on the search's run and end it: FINISHED, or KILLED where trials are left to do."""
    if search is None:
        return
    with _warning("the search's table and plot are"):
        client, _ = store.open_store()
        for path in files:
            client.log_artifact(search, str(path))
        client.set_terminated(search, status)


@contextlib.contextmanager
def _warning(what: str) -> Iterator[None]:
    """Of whatever keeps results from MLflow; they are with Optuna and DVC all the same."""
    try:
        yield
    except Exception as error:  # a server that died answers in as many ways as there are libraries between
        print(f"warning: {what} not in MLflow: {error}", file=sys.stderr, flush=True)
