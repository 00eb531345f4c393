"""Find the MLflow runs of a commit or experiment."""

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quartet.artifacts import paths
from quartet.artifacts.checksums import dvc_md5
from quartet.tracking import dvc_state, store
from quartet.tracking.journals import journal_of_output

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class FoundRun:
    """A run: its stage, id, status (`DELETED` if it was deleted), start in local time, and the address of its page."""

    stage: str
    run_id: str
    status: str
    started: str
    address: str


def runs_of_revision(revision: str | None, families: Iterable[str], ui: str) -> list[FoundRun]:
    """The training and evaluation runs of the models in a commit or experiment, or in the workspace.

    This also finds the original runs of stages that DVC took from its cache: `run.json`, beside a training's outputs,
    has the run's id, and an evaluation's run has the checksum of its model as a tag.

    Args:
        revision: a commit or experiment; None is the workspace.
        families: the families whose runs to find.
        ui: the address of MLflow's UI, if the runs are not on a server.

    Raises:
        ValueError: there is no such revision, or git reads nothing here.
        TrackingUnreachableError: there is a tracking server and it does not answer.
    """
    client, experiment = store.open_store()
    server = store.shown_address() if store.address().startswith("http") else ui
    return [
        FoundRun(
            stage=run.data.tags.get("dvc.stage", ""),
            run_id=run.info.run_id,
            status="DELETED" if store.is_deleted(run.info) else run.info.status,
            started=datetime.datetime.fromtimestamp(run.info.start_time / 1000).strftime("%Y-%m-%d %H:%M:%S"),
            address=f"{server.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}",
        )
        for family in families
        for run in _runs_of(client, experiment, family, revision)
    ]


def _runs_of(client: "MlflowClient", experiment: str, family: str, revision: str | None) -> "Iterator[Run]":
    model = paths.model(family)
    run_id = dvc_state.read_json_at(paths.report(family) / "run.json", revision).get("run_id")
    if revision is None:
        checksum = dvc_md5(model) if model.exists() else None
    else:
        checksum = dvc_state.locked_checksum(model, revision)
    if not run_id and (journal := journal_of_output(model, checksum)):
        run_id = journal.sent().get("run_id")
    if not run_id:
        return
    training = store.get_or_none(client.get_run, run_id)
    if training is None:
        return  # the run is in another database, such as a colleague's
    yield training
    of_this_model = f"tags.`dvc.stage` = 'evaluate-{family}' and tags.`dvc.dep.{model.as_posix()}` = '{checksum}'"
    yield from client.search_runs([experiment], of_this_model, max_results=1)  # the latest
