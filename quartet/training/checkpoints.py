"""Checkpoints of unfinished trainings, stored under a hash of everything that determines the result."""

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
from quartet.artifacts.writing import atomic_folder, read_json, write_text


@dataclasses.dataclass(frozen=True)
class Progress:
    """The state of a training: named tensors, and plain values."""

    tensors: dict[str, torch.Tensor]
    values: dict


class Checkpoint:
    """The checkpoint of one training, in `$DVC_ROOT/.checkpoints/<stage>/<key>/`.

    If the same training runs twice at once, only the first one keeps a checkpoint; the results are the same anyway.
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
        """The last saved state; None if there is none or it is broken."""
        if self._lock is None or not (self.folder / "progress.json").exists():
            return None
        try:
            return Progress(load_tensors(self.folder / "state.safetensors"), read_json(self.folder / "progress.json"))
        except ValueError as error:
            print(f"broken checkpoint ignored, training starts from the beginning: {error}", flush=True)
            return None

    def save(self, progress: Progress) -> None:
        """Replace the saved state atomically."""
        if self._lock is None:
            return
        with atomic_folder(self.folder) as folder:
            save_tensors(folder / "state.safetensors", progress.tensors)
            # The order of keys is kept: it is that of the columns of the history.
            write_text(folder / "progress.json", json.dumps(progress.values, allow_nan=False))

    def close(self, *, finished: bool) -> None:
        """Release the lock; remove the checkpoint of a finished training."""
        if self._lock is None:
            return
        if finished:
            shutil.rmtree(self.folder, ignore_errors=True)
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


class NoCheckpoint:
    """Saves nothing, for benchmarks."""

    def load(self) -> None:
        """Return None."""

    def save(self, progress: Progress) -> None:
        """Do nothing."""

    def close(self, *, finished: bool) -> None:
        """Do nothing."""


def _code_checksum() -> str:
    """Checksum of our code: a changed version must not resume an old training."""
    digest = hashlib.sha256()
    top = Path(__file__).parents[2]
    for path in sorted([*top.glob("quartet/**/*.py"), *top.glob("stages/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
