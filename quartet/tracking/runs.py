"""One MLflow run per training or evaluation, nested in one run per `dvc repro` or experiment.

What a stage logs goes to a journal on disk (`journal.py`), which a process of its own sends to MLflow (`recorder.py`).
The tracker is checked once, at the start. After that, it never stops or delays a stage: the rest is sent later.
"""

import contextlib
import dataclasses
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from quartet.artifacts.checksums import dvc_md5
from quartet.artifacts.model_store import read_card
from quartet.artifacts.processes import process_tags
from quartet.artifacts.secrets import without_secrets
from quartet.artifacts.stop_requests import Interrupted
from quartet.artifacts.writing import write_json
from quartet.tracking import dvc_state, store
from quartet.tracking.journal import Journal
from quartet.tracking.journals import training_of
from quartet.tracking.sender_process import SenderProcess

if TYPE_CHECKING:
    from quartet.families import Family

MOST_WAITING = 100_000  # entries in memory while the disk takes none
PARENT_RUN = "QUARTET_PARENT_RUN"  # environment variable: the parent run for the stages of a search's trial


class Run:
    """A run that is written to a journal, and sent by a process if there is one; without either, methods do nothing."""

    def __init__(self, journal: Journal | None = None, sender: SenderProcess | None = None):
        self._journal, self._sender = journal, sender
        self._threads: list[threading.Thread] = []
        self._reading, self._checksums = threading.Lock(), dict[Path, str]()
        # Entries that the disk did not take yet, with their time.
        self._appending, self._waiting = threading.RLock(), deque[tuple[str, int, dict[str, Any]]](maxlen=MOST_WAITING)
        self._is_waiting = False

    def wait_until_open(self) -> dict[str, str]:
        """Wait for the run's `run_id` and `parent_run_id` (if any); `{}` if MLflow does not have the run now.

        Raises:
            TrackingUnreachableError: MLflow refused the run, or its store cannot be used.
        """
        if self._journal is None or self._sender is None:
            return {}
        opened = self._sender.opening()
        if "waits" in opened:
            opened = self._journal.sent()
        return {name: opened[name] for name in ("run_id", "parent_run_id") if opened.get(name)}

    def log_scores(self, scores: Mapping[str, float], step: int = 0) -> None:
        """Log the metrics of one step."""
        self._append("log_scores", scores={name: float(value) for name, value in scores.items()}, step=step)

    def log_row(self, row: Mapping[str, float]) -> None:
        """Log a row of the history at its `step`.

        Raises:
            TrackingUnreachableError: MLflow could not open its store; this is found at the first row.
        """
        self.wait_until_open()
        self.log_scores({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))

    def log_training_run_scores(self, family: str, scores: Mapping[str, float]) -> None:
        """Log scores to the run that trained the model in `models/<family>`, if it was tracked."""
        if self._journal is not None:
            numbers = {name: float(value) for name, value in scores.items()}
            self._append("log_training_run_scores", training=training_of(family), scores=numbers)

    def log_files(self, files: Iterable[Path], folder: str | None = None) -> None:
        """Log files or whole folders as they are now."""
        for path in files:
            if (kept := self._keep(path)) is not None:
                self._append("log_file", file=kept, folder=folder)

    def log_outputs(self, outputs: Iterable[Path]) -> None:
        """Set tags with the DVC checksums of the stage's outputs."""
        if self._journal is not None:
            self._append("log_outputs", tags=dvc_state.checksums("dvc.out", outputs))

    def log_dependencies(self, dependencies: Iterable[Path]) -> None:
        """Set tags with the DVC checksums of what the stage reads, in a thread: data may be large."""
        self._in_background("log_tags", lambda: {"tags": dvc_state.checksums("dvc.dep", dependencies, self._md5)})

    def log_dataset(self, name: str, folder: Path, counts: Mapping[str, int]) -> None:
        """Log the data as an MLflow dataset whose digest is DVC's checksum."""
        shown = {"name": without_secrets(name), "folder": folder.as_posix(), "counts": dict(counts)}
        self._in_background("log_dataset", lambda: {**shown, "digest": self._md5(folder).removesuffix(".dir")})

    def log_model(self, family: "Family", folder: Path, files: Mapping[str, Path]) -> None:
        """Log the model as an MLflow model that loads from our code and files, without pickle."""
        if self._journal is None:
            return
        from quartet.tracking.model_logging import CODE, requirements

        served, card = resolve_name(family.served), read_card(folder)
        kept = {name: self._keep(path) for name, path in {"model": folder, **files}.items()}
        code = self._keep(CODE, link=False)  # editors change files in place
        if code is None or None in kept.values():
            return  # which is said
        self._append(
            "log_model",
            name=family.key,
            served=family.served,
            files=kept,
            interface=dataclasses.asdict(served.interface(card)),
            example=served.example(card),
            code=code,
            needs=requirements(),
        )

    def register_rebuild(self, family: str) -> None:
        """Register the model, if it comes from a rebuild (not an experiment)."""
        from quartet.tracking.registry import candidate, is_rebuild

        if self._journal is not None and is_rebuild():
            model = dataclasses.asdict(candidate(family))
            self._append("register_rebuild", model=model, training=training_of(family))

    def write_run_json(self, path: Path) -> None:
        """Write the run's id, which `evaluate` reads; `{}` if MLflow does not have the run."""
        opened = self.wait_until_open()
        self._append("run_json", named=bool(opened))
        write_json(path, opened)

    def end(self, status: str) -> None:
        """Write how the run ended, and wait a short time until everything is sent."""
        self._append("end", status=status)  # first: a signal may end the rest
        for thread in self._threads:
            thread.join(None if status == "FINISHED" else 0.5)
        if self._waiting:
            store.say(f"{len(self._waiting):,} entries are lost, since the disk takes none")
        if self._sender is not None:
            self._sender.finish()
            if self._sender.is_refused() and self._journal is not None:
                self._journal.remove()

    def _append(self, call: str, **arguments: Any) -> None:
        if self._journal is None:
            return
        with self._appending:
            self._waiting.append((call, int(time.time() * 1000), arguments))
            try:
                while self._waiting:
                    call, when, arguments = self._waiting.popleft()
                    self._journal.append(call, milliseconds=when, **arguments)
                if self._is_waiting:
                    store.say("what waited is in the journal now")
                self._is_waiting = False
            except OSError as error:  # the next entry tries again
                self._waiting.appendleft((call, when, arguments))
                if not self._is_waiting:
                    store.say(f"what is logged waits in memory, the stage continues: {store.first_line(error)}")
                self._is_waiting = True
        if self._sender is not None and not self._sender.is_refused():
            with contextlib.suppress(OSError):  # no memory or file for a process now; the next entry tries again
                self._sender.revive()

    def _keep(self, path: Path, link: bool = True) -> str | None:
        """Keep a file in the journal; None if that fails, which is said."""
        if self._journal is None:
            return None
        try:
            return self._journal.keep(path, link=link)
        except OSError as error:
            store.say(f"{path} will not be in MLflow, the stage continues: {store.first_line(error)}")
            return None

    def _md5(self, path: Path) -> str:
        """DVC's checksum of what the stage reads, which two entries tell; large data are read once."""
        with self._reading:
            if path not in self._checksums:
                self._checksums[path] = dvc_md5(path)
            return self._checksums[path]

    def _in_background(self, call: str, arguments: Callable[[], Mapping[str, Any]]) -> None:
        """Append an entry whose arguments take time to find, in a thread."""

        def work() -> None:
            try:
                found = arguments()
            except OSError as error:
                store.say(f"{call} is not in MLflow, the stage continues: {store.first_line(error)}")
            else:
                self._append(call, **found)

        if self._journal is not None:
            thread = threading.Thread(target=work, daemon=True)
            thread.start()  # first: a signal may arrive between the two
            self._threads.append(thread)


@contextlib.contextmanager
def tracked_run(stage: str, settings: Mapping[str, object], dependencies: Iterable[Path]) -> Iterator[Run]:
    """A run for the duration of the block; it ends as FINISHED, as FAILED on an error, or as KILLED on an interruption.

    The recorder process starts at once, so that its imports run in parallel with those of the block.

    Raises:
        BadInput: `QUARTET_TRACKING` has an unknown value.
        TrackingUnreachableError: there is a tracking server, and it does not answer.
    """
    mode = store.mode()
    if mode == "off":
        yield Run()
        return
    if mode == "on":
        store.prepare()
    run, status = _begun(stage, settings, mode), "FAILED"
    try:
        run.log_dependencies(dependencies)
        yield run
        status = "FINISHED"
    except (Interrupted, KeyboardInterrupt):
        status = "KILLED"
        raise
    except SystemExit as stop:
        status = "FAILED" if stop.code else "FINISHED"
        raise
    finally:
        run.end(status)


def _begun(stage: str, settings: Mapping[str, object], mode: str) -> Run:
    """A run whose journal is begun; one that does nothing if the disk takes no journal, which is said."""
    started = int(time.time() * 1000)
    try:
        journal = Journal.create(stage)
        sender = SenderProcess(journal) if mode == "on" else None
        tags = {**dvc_state.tags(stage, ()), **process_tags()}
        params = {name: without_secrets(str(value)) for name, value in _flat(settings, "")}
        about = {"stage": stage, "params": params, "tags": tags, "parent": _parent(tags)}
        journal.append("begin", milliseconds=started, **about)
    except OSError as error:
        store.say(f"tracking stops, the stage continues: {store.first_line(error)}")
        return Run()
    if mode == "later":
        store.say(f"what is logged stays in {journal.folder} until `python -m quartet sync`")
    return Run(journal, sender)


def _parent(tags: Mapping[str, str]) -> dict[str, object] | None:
    """What leads to the run's parent: its id in a search, or a key, name and tags for that of a `dvc repro`."""
    if os.environ.get(PARENT_RUN):
        return {"run_id": os.environ[PARENT_RUN]}
    key = dvc_state.parent_key()
    if key is None:
        return None
    name = dvc_state.experiment() or time.strftime("dvc repro %Y-%m-%d %H:%M")
    of_state = {name: value for name, value in tags.items() if name.startswith(("dvc.", "git.", "mlflow.source."))}
    return {"key": key, "name": name, "tags": {**of_state, "dvc.stage": "dvc repro"}}


def _flat(settings: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
