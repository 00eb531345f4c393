"""One MLflow run per training or evaluation, nested in one run per `dvc repro` or experiment.

A stage sends everything it logs to a separate process (`recorder.py`). Tracking is checked once, at the start. After
that, it never stops a training: the first failing call ends tracking for this stage with a warning, and the history is
still in `training.csv`.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from quartet.artifacts.model_store import read_card
from quartet.artifacts.processes import process_tags
from quartet.artifacts.writing import write_json
from quartet.tracking import store

if TYPE_CHECKING:
    from quartet.families import Family


class Run:
    """A run in MLflow; without tracking, its methods do nothing."""

    def __init__(self, recorder: subprocess.Popen[str] | None = None):
        self._recorder, self._is_open = recorder, recorder is not None
        # The recorder reads calls from its stdin and answers on its stdout.
        self._calls, self._answers = (recorder.stdin, recorder.stdout) if recorder else (None, None)
        self._opened: dict[str, str | None] = {}

    def wait_until_open(self) -> dict[str, str]:
        """Wait until the run is open; returns `run_id` and `parent_run_id` (if any), or `{}` without tracking.

        Raises:
            TrackingUnreachableError: MLflow could not open its store.
        """
        if not self._opened and self._answers is not None:
            answer = self._answers.readline()
            self._opened = json.loads(answer) if answer else {"error": store.unavailable_message("its process ended")}
            if "error" in self._opened:
                raise store.TrackingUnreachableError(self._opened["error"])
        return {name: value for name, value in self._opened.items() if value}

    def log_scores(self, scores: Mapping[str, float], step: int = 0) -> None:
        """Log the metrics of one step."""
        self._send("log_scores", scores=scores, step=step, milliseconds=_now())

    def log_row(self, row: Mapping[str, float]) -> None:
        """Log a row of the history at its `step`.

        Raises:
            TrackingUnreachableError: MLflow could not open its store; this is found at the first row.
        """
        self.wait_until_open()
        self.log_scores({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))

    def log_training_run_scores(self, run_json: Path, scores: Mapping[str, float]) -> None:
        """Log scores to the run in a `run.json`, if MLflow has that run."""
        self._send("log_training_run_scores", run_json=str(run_json), scores=scores, milliseconds=_now())

    def log_files(self, files: Iterable[Path], folder: str | None = None) -> None:
        """Log files or whole folders."""
        for path in files:
            self._send("log_file", path=str(path), folder=folder)

    def log_outputs(self, outputs: Iterable[Path]) -> None:
        """Set tags with the DVC checksums of the stage's outputs."""
        self._send("log_outputs", outputs=[str(path) for path in outputs])

    def log_dataset(self, name: str, folder: Path, counts: Mapping[str, int]) -> None:
        """Log the data as an MLflow dataset whose digest is DVC's checksum."""
        self._send("log_dataset", name=name, folder=folder.as_posix(), counts=dict(counts))

    def log_model(self, family: "Family", folder: Path, files: Mapping[str, Path]) -> None:
        """Log the model as an MLflow model that loads from our code and files, without pickle."""
        if not self._is_open:
            return
        served, card = resolve_name(family.served), read_card(folder)
        self._send(
            "log_model",
            name=family.key,
            served=family.served,
            files={name: str(path) for name, path in {"model": folder, **files}.items()},
            interface=dataclasses.asdict(served.interface(card)),
            example=served.example(card),
        )

    def register_rebuild(self, family: str) -> None:
        """Register the model, if it comes from a rebuild (not an experiment)."""
        self._send("register_rebuild", family=family)

    def write_run_json(self, path: Path) -> None:
        """Write the run's id, which `evaluate` reads; `{}` without tracking."""
        write_json(path, self.wait_until_open())

    def end(self, status: str) -> None:
        """Close the run and wait until everything is logged."""
        self._send("end", status=status)
        if self._recorder is not None and self._calls is not None:
            with contextlib.suppress(BrokenPipeError):
                self._calls.close()
            self._recorder.wait()

    def _send(self, call: str, **arguments: object) -> None:
        if not self._is_open:
            return
        try:
            print(json.dumps({"call": call, **arguments}), file=self._calls, flush=True)
        except BrokenPipeError:
            self._is_open = False  # the recorder has printed why, unless it was killed


def _now() -> int:
    return int(time.time() * 1000)


@contextlib.contextmanager
def tracked_run(stage: str, settings: Mapping[str, object], dependencies: Iterable[Path]) -> Iterator[Run]:
    """A run for the duration of the block; it ends as FINISHED, as FAILED on an error, or as KILLED on an interruption.

    The recorder process starts at once, so that its imports run in parallel with those of the block.

    Raises:
        TrackingUnreachableError: there is a tracking server, and it does not answer.
    """
    if not store.is_on():
        yield Run()
        return
    store.prepare()
    recorder = subprocess.Popen(
        [sys.executable, "-m", "quartet.tracking.recorder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that it outlives a kill of the stage's process group, and can close the run
    )
    about = {"stage": stage, "settings": settings, "dependencies": [path.as_posix() for path in dependencies]}
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({**about, "process": process_tags()}), file=recorder.stdin, flush=True)
    run, status = Run(recorder), "FAILED"
    try:
        yield run
        status = "FINISHED"
    except SystemExit as stop:
        status = "FINISHED" if not stop.code else "KILLED"
        raise
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.end(status)
