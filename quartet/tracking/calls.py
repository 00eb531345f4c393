"""The calls of a journal's entries, made to MLflow: for the stage's own run, and for the run that trained its model."""

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quartet.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

Entry = Mapping[str, Any]


def metrics_of(entry: Entry) -> "list[Metric]":
    """The metrics of one step."""
    from mlflow.entities import Metric

    moment, step = entry["milliseconds"], entry["step"]
    return [Metric(name, float(value), moment, step) for name, value in entry["scores"].items()]


def _log_tags(client: "MlflowClient", run_id: str, journal: Path, entry: Entry) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in entry["tags"].items()])


def _log_file(client: "MlflowClient", run_id: str, journal: Path, entry: Entry) -> None:
    """Log a file, or a folder under its name."""
    path, folder = journal / entry["file"], entry["folder"]
    if path.is_dir():
        client.log_artifacts(run_id, str(path), f"{folder}/{path.name}" if folder else path.name)
    else:
        client.log_artifact(run_id, str(path), folder)


def _log_dataset(client: "MlflowClient", run_id: str, journal: Path, entry: Entry) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=entry["name"],
        digest=entry["digest"],
        source_type="local",
        source=json.dumps({"uri": entry["folder"]}),
        profile=json.dumps(entry["counts"]),
    )
    tags = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(run_id, [DatasetInput(dataset=dataset, tags=tags)])


def _log_model(client: "MlflowClient", run_id: str, journal: Path, entry: Entry) -> None:
    from quartet.tracking.model_logging import log_model

    about = {key: entry[key] for key in ("name", "served", "interface", "example", "needs")}
    files = {name: Path(kept) for name, kept in entry["files"].items()}
    # MLflow takes paths for addresses and would decode them: relative ones have no special characters.
    with contextlib.chdir(journal):
        log_model(run_id, files=files, code=Path(entry["code"]), **about)


def _log_training_run_scores(client: "MlflowClient", run_id: str | None, entry: Entry) -> None:
    """Log metrics to the run that trained the model, if MLflow has that run; a deleted one takes none."""
    run = store.get_or_none(client.get_run, run_id) if run_id else None
    if run is None:
        return
    if store.is_deleted(run.info):
        print(f"the training's run {run_id} was deleted in MLflow: it does not get the test scores", flush=True)
        return
    client.log_batch(run.info.run_id, metrics=metrics_of({"step": 0, **entry}))


def _register_rebuild(client: "MlflowClient", run_id: str | None, entry: Entry) -> None:
    from quartet.tracking.registry import Candidate, register_rebuild

    try:
        register_rebuild(client, Candidate(**entry["model"]), run_id)
    except ValueError as reason:
        print(f"the model is not registered: {reason}", file=sys.stderr, flush=True)


FOR_THIS_RUN = {
    "log_tags": _log_tags,
    "log_outputs": _log_tags,
    "log_file": _log_file,
    "log_dataset": _log_dataset,
    "log_model": _log_model,
}
FOR_OTHER_RUNS = {"log_training_run_scores": _log_training_run_scores, "register_rebuild": _register_rebuild}
