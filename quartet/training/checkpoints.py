"""Checkpoints: an unfinished training on disk, found again by all that determines its result."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_tensors, save_tensors
from quartet.artifacts.writing import atomic_folder, read_json, write_json


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a training stands: tensors by name, and the plain values beside them."""

    tensors: dict[str, torch.Tensor]
    values: dict


class Checkpoint:
    """One training's place under `$DVC_ROOT/.checkpoints/<stage>/<key>/`.

    Two equal trainings at once would give equal bytes; the second one simply keeps no checkpoint.
    """

    def __init__(self, stage: str, determined_by: Mapping[str, object]):
        described = json.dumps({**determined_by, "code": _code_checksum()}, sort_keys=True)
        key = hashlib.sha256(described.encode()).hexdigest()[:16]
        self.folder = paths.checkpoints() / stage / key
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock: FileLock | None = FileLock(self.folder.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._lock = None

    def load(self) -> Progress | None:
        """What was saved last, or None; a broken checkpoint counts as none."""
        if self._lock is None or not (self.folder / "progress.json").exists():
            return None
        try:
            return Progress(load_tensors(self.folder / "state.safetensors"), read_json(self.folder / "progress.json"))
        except ValueError as error:
            print(f"checkpoint left aside, training starts anew: {error}", flush=True)
            return None

    def save(self, progress: Progress) -> None:
        """Replace what was saved, whole or not at all."""
        if self._lock is None:
            return
        with atomic_folder(self.folder) as folder:
            save_tensors(folder / "state.safetensors", progress.tensors)
            write_json(folder / "progress.json", progress.values)

    def close(self, *, finished: bool) -> None:
        """Let go of the place; a finished training's checkpoint is removed."""
        if self._lock is None:
            return
        if finished:
            shutil.rmtree(self.folder, ignore_errors=True)
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


class NoCheckpoint:
    """Keeps nothing: for benchmarks, which start anew."""

    def load(self) -> None:
        """Nothing was saved."""

    def save(self, progress: Progress) -> None:
        """Nothing is kept."""

    def close(self, *, finished: bool) -> None:
        """There is no place to let go of."""


def _code_checksum() -> str:
    """Checksum of our own code: another version of it must not go on with an old state."""
    digest = hashlib.sha256()
    top = Path(__file__).parents[2]
    for path in sorted([*top.glob("quartet/**/*.py"), *top.glob("stages/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
