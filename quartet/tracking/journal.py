"""What a stage logs, on disk before any of it is sent: `$DVC_ROOT/.tracking/<our id>/`, one folder per run.

`journal.jsonl` has one entry per line, `files/` what was logged as a file, `sent.json` how much MLflow has confirmed.
An entry is `{"call": …, "milliseconds": …}` with the arguments of the call: `begin` is the first, `end` says how the
stage ended. Whoever sends a journal holds its lock.
"""

import contextlib
import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from quartet.artifacts import paths
from quartet.artifacts.exchanging import remove
from quartet.artifacts.json_reading import check_shape
from quartet.artifacts.processes import is_alive
from quartet.artifacts.writing import read_json, write_json

_ENTRIES, _SENT, _FILES, _LOCK = "journal.jsonl", "sent.json", "files", "sender.lock"
_TEXTS = {str: str}
# What the entries hold that every sender needs; a line that holds something else is damaged.
_SHAPES: dict[str, dict[str, Any]] = {
    "begin": {"stage": str, "params": _TEXTS, "tags": _TEXTS},
    "log_scores": {"scores": {str: float}, "step": int},
    "end": {"status": str},
}
_PARENT = (None, {"run_id": str}, {"key": str, "name": str, "tags": _TEXTS})
_STATUSES = ("FINISHED", "FAILED", "KILLED")
_STATE = {"position": int, "run_id": str, "tracker": str}
_LONG = 2**53  # more than any time in milliseconds, or step; MLflow's databases hold 64 bits
_ABANDONED = 24 * 3600.0  # seconds after which a journal that does not say whose it is has no writer
_NOT_KEPT = shutil.ignore_patterns(".unfinished-*", ".former-*", "__pycache__")


class Journal:
    """The journal in a folder, whose name is the run's id of our own."""

    def __init__(self, folder: Path):
        self.folder, self.id = folder, folder.name
        self._entries = folder / _ENTRIES
        self._writing, self._handle, self._kept = threading.Lock(), -1, 0

    @classmethod
    def create(cls, stage: str) -> "Journal":
        """A new journal without entries."""
        journal = cls(paths.tracking() / f"{stage}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}")
        journal.folder.mkdir(parents=True)
        return journal

    def append(self, call: str, *, milliseconds: int | None = None, **arguments: Any) -> None:
        """Write an entry, of this moment if not told otherwise; it survives the end of this process.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        when = int(time.time() * 1000) if milliseconds is None else milliseconds
        line = json.dumps({"call": call, "milliseconds": when, **arguments}).encode() + b"\n"
        with self._writing:
            if self._handle < 0:
                self._handle = os.open(self._entries, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            size = os.fstat(self._handle).st_size
            if size and os.pread(self._handle, 1, size - 1) != b"\n":  # the last writer was killed, or its disk full
                line = b"\n" + line
            while line:
                line = line[os.write(self._handle, line) :]

    def keep(self, path: Path, *, link: bool = True) -> str:
        """Keep a file or folder as it is now; returns where, relative to the journal.

        Outputs are replaced and never changed in place, so that a link is enough; `link=False` copies.
        """
        self._kept += 1
        kept = self.folder / _FILES / str(self._kept) / path.name
        kept.parent.mkdir(parents=True)
        copy = _link if link else shutil.copyfile
        if path.is_dir():
            shutil.copytree(path, kept, copy_function=copy, ignore=_NOT_KEPT)
        else:
            copy(path, kept)
        return kept.relative_to(self.folder).as_posix()

    def entries(self, position: int = 0) -> Iterator[tuple[dict[str, Any] | None, int]]:
        """The entries from a position in bytes, each with the position after it; None for a damaged line.

        The half of a line at the end is left: its writer is at it, or was killed.
        """
        if not self._entries.exists():
            return
        with self._entries.open("rb") as lines:
            lines.seek(position)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                position += len(line)
                if line.strip():
                    yield _parsed(line), position

    def begin(self) -> dict[str, Any] | None:
        """The first entry; None if there is none yet. Of one that is damaged, the folder's name tells the stage."""
        first, _ = next(self.entries(), (None, 0))
        if first is not None and first["call"] == "begin":
            return first
        whole = next((entry for entry, _ in self.entries() if entry), None)
        if whole is None:
            return None
        stage = self.id.rsplit("-", 3)[0]
        about: dict[str, Any] = {"stage": stage, "params": {}, "tags": {}, "parent": None, "is_lost": True}
        return {"call": "begin", "milliseconds": whole["milliseconds"], **about}

    def find(self, call: str) -> dict[str, Any] | None:
        """The last entry of this call."""
        found = None
        for entry, _ in self.entries():
            if entry and entry["call"] == call:
                found = entry
        return found

    def size(self) -> int:
        """How many bytes the entries take."""
        return self._entries.stat().st_size if self._entries.exists() else 0

    def is_over(self) -> bool:
        """Whether the stage has ended, or was killed on this machine."""
        begin = self.begin()
        if begin is None:
            return False
        if "is_lost" in begin and time.time() - self._entries.stat().st_mtime > _ABANDONED:
            return True
        tags = begin["tags"]
        is_gone = tags.get("quartet.host") == socket.gethostname() and not is_alive(tags.get("quartet.process", ""))
        return is_gone or self.find("end") is not None

    def is_damaged(self) -> bool:
        """Whether it is old and has no whole entry, so that nothing can be sent."""
        if self.begin() or self.is_complete() or not self._entries.is_file():
            return False
        return time.time() - self._entries.stat().st_mtime > _ABANDONED

    def is_complete(self) -> bool:
        """Whether MLflow has it as a whole."""
        return self.sent().get("is_complete") is True

    def sent(self) -> dict[str, Any]:
        """How far MLflow has it: `position`, `run_id`, `parent_run_id`, `tracker`; `{}` if nothing was sent.

        What is damaged counts as nothing: to send twice does no harm.
        """
        try:
            state = read_json(self.folder / _SENT)
            if state.get("is_complete") is not True:
                check_shape(state, _STATE, "", "")
                if not self._is_end_of_line(state["position"]):
                    return {}
            check_shape(state.get("parent_run_id"), (str, None), "", "")
            check_shape(state.get("outputs", {}), _TEXTS, "", "")
        except ValueError:
            return {}
        return state

    def _is_end_of_line(self, position: int) -> bool:
        if not self._entries.is_file() or not 0 <= position <= self.size():
            return False
        if position == 0:
            return True
        with self._entries.open("rb") as lines:
            lines.seek(position - 1)
            return lines.read(1) == b"\n"

    def confirm(self, state: Mapping[str, object]) -> None:
        """Remember what MLflow has taken."""
        write_json(self.folder / _SENT, state)

    def close(self, state: Mapping[str, object]) -> None:
        """Remove a journal that MLflow has as a whole.

        Only the run's id stays where `run.json` does not have it, with the checksums of the outputs that lead to it.
        """
        named, outputs = self.find("run_json"), self.find("log_outputs")
        unnamed = bool(outputs) and named is not None and not named["named"]
        outputs = outputs["tags"] if outputs and unnamed else {}
        self.confirm({**state, "is_complete": True, "outputs": outputs})
        self.tidy()

    def tidy(self) -> None:
        """Remove what a complete journal no longer needs, which a kill may have left."""
        remove(self.folder / _FILES)
        self._entries.unlink(missing_ok=True)
        if not self.sent().get("outputs"):
            self.remove()

    def remove(self) -> None:
        """Remove the journal, sent or not."""
        remove(self.folder)

    def outputs(self) -> dict[str, str]:
        """The checksums of the stage's outputs, as tags."""
        sent, logged = self.sent(), self.find("log_outputs")
        return logged["tags"] if logged else sent.get("outputs", {})

    @contextlib.contextmanager
    def sole_sender(self) -> Iterator[bool]:
        """Hold the journal's lock; yields False if another process has it or has sent the journal."""
        if not self.folder.is_dir():
            yield False
            return
        lock = FileLock(self.folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError):
            yield False
            return
        try:
            yield not self.is_complete()
        finally:
            lock.release()


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        check_shape(entry, {"call": str, "milliseconds": int}, "", "")
        check_shape(entry, _SHAPES.get(entry["call"], {}), "", "")
        check_shape(entry.get("parent"), _PARENT if entry["call"] == "begin" else object, "", "")
    except (ValueError, RecursionError):
        return None
    is_whole = abs(entry["milliseconds"]) < _LONG
    if entry["call"] == "log_scores":
        is_whole &= abs(entry["step"]) < _LONG
    elif entry["call"] == "end":
        is_whole &= entry["status"] in _STATUSES
    return entry if is_whole else None


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
