"""One MLflow run per training or evaluation, nested in one run per `dvc repro` or experiment.

Tracking is probed once, at the start. From then on it never stops a training: the first call that fails ends tracking
for this stage with a warning, and the history is in `training.csv` anyway.
"""

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from quartet.artifacts.writing import read_json, write_json
from quartet.tracking import dvc_state, store
from quartet.tracking.processes import is_alive, this_process

SYSTEM_METRICS_SECONDS = 2.0
PARENT_RUN = "QUARTET_PARENT_RUN"  # names the run below which the stages of a search's trial log


class Run:
    """A run in MLflow; one that is not tracked answers to the same calls and does nothing."""

    def __init__(self, client=None, run_id: str | None = None, parent_id: str | None = None):
        self._client, self.run_id, self.parent_id = client, run_id, parent_id

    def log_scores(self, scores: Mapping[str, float], step: int = 0) -> None:
        """Metrics of one step, in one batch."""

        def send() -> None:
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            metrics = [Metric(name, float(value), now, step) for name, value in scores.items()]
            self._client.log_batch(self.run_id, metrics=metrics)

        self._attempt(send)

    def log_row(self, row: Mapping[str, float]) -> None:
        """A row of the history, at its `step`."""
        self.log_scores({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))

    def log_files(self, files: Iterable[Path], folder: str | None = None) -> None:
        """Pictures, tables, or whole folders."""
        for path in files:
            if path.is_dir():
                inside = f"{folder}/{path.name}" if folder else path.name
                self._attempt(lambda path=path, inside=inside: self._client.log_artifacts(self.run_id, path, inside))
            else:
                self._attempt(lambda path=path: self._client.log_artifact(self.run_id, str(path), folder))

    def log_outputs(self, outputs: Iterable[Path]) -> None:
        """Tags with the DVC checksums of what the stage made."""
        for key, value in dvc_state.checksums("dvc.out", outputs).items():
            self._attempt(lambda key=key, value=value: self._client.set_tag(self.run_id, key, value))

    def log_dataset(self, name: str, folder: Path, counts: Mapping[str, int]) -> None:
        """The data as an MLflow dataset whose digest is DVC's checksum."""

        def send() -> None:
            from mlflow.entities import Dataset, DatasetInput, InputTag

            dataset = Dataset(
                name=name,
                digest=dvc_state.dvc_md5(folder).removesuffix(".dir"),
                source_type="local",
                source=json.dumps({"uri": folder.as_posix()}),
                profile=json.dumps(dict(counts)),
            )
            tags = [InputTag("mlflow.data.context", "training")]
            self._client.log_inputs(self.run_id, [DatasetInput(dataset=dataset, tags=tags)])

        self._attempt(send)

    def log_model(self, family: str, folder: Path, files: Mapping[str, Path]) -> None:
        """The model as an MLflow model that loads from our code and files, without pickle."""

        def send() -> None:
            from quartet.tracking.model_logging import log_model

            log_model(self.run_id, family, {"model": folder, **files})

        self._attempt(send)

    def write_run_json(self, path: Path) -> None:
        """Leave the run's id where `evaluate` finds it; `{}` when untracked."""
        content = {"run_id": self.run_id, "parent_run_id": self.parent_id} if self.run_id else {}
        write_json(path, {key: value for key, value in content.items() if value})

    def _attempt(self, call: Callable[[], None]) -> None:
        if self._client is None:
            return
        try:
            call()
        except Exception as error:
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"tracking stops here, the stage goes on: {first_line}", file=sys.stderr, flush=True)
            self._client = None


@contextlib.contextmanager
def tracked_run(stage: str, settings: Mapping[str, object], dependencies: Iterable[Path]) -> Iterator[Run]:
    """A run that lasts as long as the block: FINISHED, FAILED on an error, KILLED on an interruption.

    Raises:
        TrackingUnreachableError: there is a tracking server and it does not answer.
    """
    if not store.is_on():
        yield Run()
        return
    client, experiment = store.open_store()
    _reap(client, experiment)
    parent = _parent_run(client, experiment)
    tags = {
        **dvc_state.tags(stage, dependencies),
        **process_tags(),
        **({"mlflow.parentRunId": parent} if parent else {}),
    }
    run_id = client.create_run(experiment, run_name=stage, tags=tags).info.run_id
    run = Run(client, run_id, parent)
    run._attempt(lambda: _log_params(client, run_id, settings))
    status = "FAILED"
    try:
        with _system_metrics(run_id):
            yield run
        status = "FINISHED"
    except SystemExit as stop:
        status = "FINISHED" if not stop.code else "KILLED"
        raise
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run._attempt(lambda: client.set_terminated(run_id, status))
        if parent and PARENT_RUN not in os.environ:
            run._attempt(lambda: client.set_terminated(parent, "FINISHED"))


def log_on_training_run(run_json: Path, scores: Mapping[str, float]) -> None:
    """Put test scores on the run that trained the model; nothing happens where that run is unknown."""
    if not store.is_on() or not run_json.exists():
        return
    run_id = read_json(run_json).get("run_id")
    if run_id:
        import mlflow

        client = mlflow.MlflowClient(store.address())
        try:
            client.get_run(run_id)
        except mlflow.exceptions.MlflowException:
            return
        Run(client, run_id).log_scores({f"test_{name}": value for name, value in scores.items()})


@contextlib.contextmanager
def _system_metrics(run_id: str) -> Iterator[None]:
    """Processor, memory, disk, network and GPU use on the run, sampled while the block lasts."""
    import logging

    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)  # a machine without a GPU needs no notice
    monitor = SystemMetricsMonitor(run_id, sampling_interval=SYSTEM_METRICS_SECONDS)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _log_params(client, run_id: str, settings: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    entries = [Param(name, str(value)) for name, value in _flat(settings, "")]
    for start in range(0, len(entries), 100):  # MLflow's limit per call
        client.log_batch(run_id, params=entries[start : start + 100])


def _flat(settings: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _parent_run(client, experiment: str) -> str | None:
    if os.environ.get(PARENT_RUN):
        return os.environ[PARENT_RUN]
    key = dvc_state.parent_key()
    if key is None:
        return None
    with store.lock("parent-run"):
        found = client.search_runs([experiment], f"tags.`quartet.parent_key` = '{key}'", max_results=1)
        if found:
            return found[0].info.run_id
        name = os.environ.get("DVC_EXP_NAME") or time.strftime("dvc repro %Y-%m-%d %H:%M")
        tags = {"quartet.parent_key": key, **dvc_state.tags("dvc repro", ())}
        run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        client.set_terminated(run_id, "FINISHED")
        return run_id


def process_tags() -> dict[str, str]:
    """Tags that tell who logs to a run and, later, whether that process still lives."""
    return {
        "mlflow.user": psutil.Process().username(),
        "quartet.host": socket.gethostname(),
        "quartet.process": this_process(),
    }


def _reap(client, experiment: str) -> None:
    """Mark as killed the runs whose process on this machine is gone: nobody else will."""
    mine = f"attributes.status = 'RUNNING' and tags.`quartet.host` = '{socket.gethostname()}'"
    for run in client.search_runs([experiment], mine):
        if not is_alive(run.data.tags.get("quartet.process", "")):
            client.set_terminated(run.info.run_id, "KILLED")
