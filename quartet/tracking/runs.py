"""One MLflow run per training or evaluation, nested in one run per `dvc repro` or experiment.

A stage sends what it logs to a process of its own (`recorder.py`). Tracking is probed once, at the start. From then on
it never stops a training: the first call that fails ends tracking for this stage with a warning, and the history is in
`training.csv` anyway.
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
    """A run in MLflow; one that is not tracked answers to the same calls and does nothing."""

    def __init__(self, recorder: subprocess.Popen[str] | None = None):
        self._recorder, self._listens = recorder, recorder is not None
        # What it reads our calls from, and where it answers.
        self._calls, self._answers = (recorder.stdin, recorder.stdout) if recorder else (None, None)
        self._opened: dict[str, str | None] = {}

    def opened(self) -> dict[str, str]:
        """`run_id` and, if it has one, `parent_run_id`; waits until the run is there. `{}` when untracked.

        Raises:
            TrackingUnreachableError: MLflow could not open its store.
        """
        if not self._opened and self._answers is not None:
            answer = self._answers.readline()
            self._opened = json.loads(answer) if answer else {"error": store.refusal("its process ended")}
            if "error" in self._opened:
                raise store.TrackingUnreachableError(self._opened["error"])
        return {name: value for name, value in self._opened.items() if value}

    def log_scores(self, scores: Mapping[str, float], step: int = 0) -> None:
        """Metrics of one step."""
        self._send("log_scores", scores=scores, step=step, milliseconds=_now())

    def log_row(self, row: Mapping[str, float]) -> None:
        """A row of the history, at its `step`.

        Raises:
            TrackingUnreachableError: MLflow could not open its store; the first row of a training tells.
        """
        self.opened()
        self.log_scores({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))

    def log_training_run_scores(self, run_json: Path, scores: Mapping[str, float]) -> None:
        """Scores on the run that a `run.json` names; nothing happens where that run is unknown."""
        self._send("log_training_run_scores", run_json=str(run_json), scores=scores, milliseconds=_now())

    def log_files(self, files: Iterable[Path], folder: str | None = None) -> None:
        """Pictures, tables, or whole folders."""
        for path in files:
            self._send("log_file", path=str(path), folder=folder)

    def log_outputs(self, outputs: Iterable[Path]) -> None:
        """Tags with the DVC checksums of what the stage made."""
        self._send("log_outputs", outputs=[str(path) for path in outputs])

    def log_dataset(self, name: str, folder: Path, counts: Mapping[str, int]) -> None:
        """The data as an MLflow dataset whose digest is DVC's checksum."""
        self._send("log_dataset", name=name, folder=folder.as_posix(), counts=dict(counts))

    def log_model(self, family: "Family", folder: Path, files: Mapping[str, Path]) -> None:
        """The model as an MLflow model that loads from our code and files, without pickle."""
        if not self._listens:
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
        """The model in the registry, if a rebuild made it."""
        self._send("register_rebuild", family=family)

    def write_run_json(self, path: Path) -> None:
        """Leave the run's id where `evaluate` finds it; `{}` when untracked."""
        write_json(path, self.opened())

    def end(self, status: str) -> None:
        """Close the run and wait until all is logged."""
        self._send("end", status=status)
        if self._recorder is not None and self._calls is not None:
            with contextlib.suppress(BrokenPipeError):
                self._calls.close()
            self._recorder.wait()

    def _send(self, call: str, **arguments: object) -> None:
        if not self._listens:
            return
        try:
            print(json.dumps({"call": call, **arguments}), file=self._calls, flush=True)
        except BrokenPipeError:
            self._listens = False  # it has said why, unless it was killed


def _now() -> int:
    return int(time.time() * 1000)


@contextlib.contextmanager
def tracked_run(stage: str, settings: Mapping[str, object], dependencies: Iterable[Path]) -> Iterator[Run]:
    """A run that lasts as long as the block: FINISHED, FAILED on an error, KILLED on an interruption.

    The recorder starts at once, so that its imports and those of the block go on side by side.

    Raises:
        TrackingUnreachableError: there is a tracking server and it does not answer.
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
        start_new_session=True,  # what kills the stage and all its group leaves someone to close the run
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
