"""The process that talks to MLflow for a stage: `python -m quartet.tracking.recorder`, started by `runs.py`.

It imports MLflow while the stage imports torch, and it waits for a slow server so that the training need not. It reads
messages from standard input, one line of JSON each: a description of the run, then calls of `Recorder`, then `end`. It
answers once, on standard output, with the run's id. If the input ends without an `end`, the stage was killed.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quartet.artifacts.secrets import without_secrets
from quartet.artifacts.writing import read_json
from quartet.tracking import dvc_state, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

SYSTEM_METRICS_SECONDS = 2.0
PARENT_RUN = "QUARTET_PARENT_RUN"  # environment variable: the parent run for the stages of a search's trial


class Recorder:
    """One run, which the constructor opens and `end` closes; the other methods log to it.

    Args:
        stage: the run's name.
        settings: its parameters, nested as in `params.yaml`.
        dependencies: paths whose DVC checksums become tags.
        process: tags that identify the stage's process.
    """

    def __init__(
        self, stage: str, settings: Mapping[str, object], dependencies: Iterable[str], process: Mapping[str, str]
    ):
        self._client, experiment = store.open_store()
        _reap(self._client, experiment)
        self.parent_id = _parent_run(self._client, experiment)
        tags = {
            **dvc_state.tags(stage, map(Path, dependencies)),
            **process,
            **({"mlflow.parentRunId": self.parent_id} if self.parent_id else {}),
        }
        self.run_id = self._client.create_run(experiment, run_name=stage, tags=tags).info.run_id
        _log_params(self._client, self.run_id, settings)
        self._monitor = _system_metrics_monitor(self.run_id)

    def log_scores(self, scores: Mapping[str, float], step: int, milliseconds: int) -> None:
        """Log the metrics of one step, in one batch."""
        self._log_scores_to(self.run_id, scores, step, milliseconds)

    def log_training_run_scores(self, run_json: str, scores: Mapping[str, float], milliseconds: int) -> None:
        """Log metrics to the run in a `run.json`, if MLflow has that run; a deleted one takes none."""
        run_id = read_json(Path(run_json)).get("run_id") if Path(run_json).exists() else None
        run = store.get_or_none(self._client.get_run, run_id) if run_id else None
        if run is None:
            return
        if store.is_deleted(run.info):
            print(f"the training's run {run_id} was deleted in MLflow: it does not get the test scores", flush=True)
            return
        self._log_scores_to(run.info.run_id, scores, 0, milliseconds)

    def _log_scores_to(self, run_id: str, scores: Mapping[str, float], step: int, milliseconds: int) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, float(value), milliseconds, step) for name, value in scores.items()]
        self._client.log_batch(run_id, metrics=metrics)

    def log_file(self, path: str, folder: str | None) -> None:
        """Log a file, or a folder under its name."""
        if Path(path).is_dir():
            name = Path(path).name
            self._client.log_artifacts(self.run_id, path, f"{folder}/{name}" if folder else name)
        else:
            self._client.log_artifact(self.run_id, path, folder)

    def log_outputs(self, outputs: Iterable[str]) -> None:
        """Set tags with the DVC checksums of the stage's outputs."""
        for key, value in dvc_state.checksums("dvc.out", map(Path, outputs)).items():
            self._client.set_tag(self.run_id, key, value)

    def log_dataset(self, name: str, folder: str, counts: Mapping[str, int]) -> None:
        """Log the data as an MLflow dataset whose digest is DVC's checksum."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=dvc_state.dvc_md5(Path(folder)).removesuffix(".dir"),
            source_type="local",
            source=json.dumps({"uri": folder}),
            profile=json.dumps(counts),
        )
        tags = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(self.run_id, [DatasetInput(dataset=dataset, tags=tags)])

    def log_model(
        self,
        name: str,
        served: str,
        files: Mapping[str, str],
        interface: Mapping[str, Any],
        example: Mapping[str, Any],
    ) -> None:
        """Log the model as an MLflow model that loads from our code and files, without pickle."""
        from quartet.tracking.model_logging import log_model

        log_model(self.run_id, name, served, {key: Path(path) for key, path in files.items()}, interface, example)

    def register_rebuild(self, family: str) -> None:
        """Register the model, if it comes from a rebuild (not an experiment)."""
        from quartet.tracking.registry import register_rebuild

        register_rebuild(family)

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED, and its parent run as FINISHED."""
        self._monitor.finish()
        self._client.set_terminated(self.run_id, status)
        if self.parent_id and PARENT_RUN not in os.environ:
            self._client.set_terminated(self.parent_id, "FINISHED")


def _system_metrics_monitor(run_id: str) -> "SystemMetricsMonitor":
    """Start logging the machine's CPU, memory, disk, network and GPU use to the run."""
    import logging

    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)  # no warning on machines without a GPU
    monitor = SystemMetricsMonitor(run_id, sampling_interval=SYSTEM_METRICS_SECONDS)
    monitor.start()
    return monitor


def _log_params(client: "MlflowClient", run_id: str, settings: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    entries = [Param(name, without_secrets(str(value))) for name, value in _flat(settings, "")]
    for start in range(0, len(entries), 100):  # MLflow's limit per call
        client.log_batch(run_id, params=entries[start : start + 100])


def _flat(settings: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _parent_run(client: "MlflowClient", experiment: str) -> str | None:
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


def _reap(client: "MlflowClient", experiment: str) -> None:
    """Mark runs as killed whose process on this machine is gone, for example after a power cut."""
    from quartet.artifacts.processes import is_alive

    mine = f"attributes.status = 'RUNNING' and tags.`quartet.host` = '{socket.gethostname()}'"
    for run in client.search_runs([experiment], mine):
        if not is_alive(run.data.tags.get("quartet.process", "")):
            client.set_terminated(run.info.run_id, "KILLED")


def record(messages: Iterator[str], answer: Callable[[Mapping[str, str | None]], None]) -> None:
    """Open the run that the first message describes, answer with its id or an error, then handle the other messages."""
    try:
        recorder = Recorder(**json.loads(next(messages)))
    except store.TrackingUnreachableError as error:
        answer({"error": str(error)})
        return
    except Exception as error:
        answer({"error": store.unavailable_message(error)})
        return
    answer({"run_id": recorder.run_id, "parent_run_id": recorder.parent_id})
    tracking, status = True, "KILLED"
    for message in messages:
        if not message.endswith("\n"):  # the stage was killed while it was writing
            break
        call = json.loads(message)
        name = call.pop("call")
        if name == "end":
            status = call["status"]
            break
        # The first failure ends tracking: other calls would wait for a dead server.
        tracking = tracking and _try_call(getattr(recorder, name), call)
    if tracking:
        _try_call(recorder.end, {"status": status})
    else:
        with contextlib.suppress(Exception):  # the failure has been said; a server that is dead says so in seconds
            store.prepare()
            recorder.end(status)


def _try_call(call: Callable[..., None], arguments: Mapping[str, object]) -> bool:
    """Call, and return whether it succeeded."""
    try:
        call(**arguments)
    except Exception as error:
        print(f"tracking stops, the stage continues: {store.first_line(error)}", file=sys.stderr, flush=True)
        return False
    return True


def main() -> None:
    """Record the run of the stage that started this process, until it ends."""
    for request in (signal.SIGINT, signal.SIGTERM):  # these are for the stage, which then sends how the run ended
        signal.signal(request, signal.SIG_IGN)
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries must not print among the answers

    def answer(content: Mapping[str, str | None]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the stage is gone, but its run still gets closed
            print(json.dumps(content), file=answers, flush=True)

    record(iter(sys.stdin), answer)
    sys.stderr.flush()
    os._exit(0)  # skips tearing down MLflow's modules, which takes most of a second


if __name__ == "__main__":
    main()
