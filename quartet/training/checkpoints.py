"""Checkpoints of unfinished trainings, stored under a hash of everything that determines the result."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from quartet.artifacts import paths
from quartet.artifacts.checksums import sha256
from quartet.artifacts.errors import listed
from quartet.artifacts.exchanging import remove
from quartet.artifacts.shortages import raise_shortage
from quartet.artifacts.tensor_files import load_tensors, save_tensors
from quartet.artifacts.unfinished import remove_debris
from quartet.artifacts.writing import atomic_folder, read_json, write_json, write_text
from quartet.training.old_checkpoints import prune, unfinished_trainings

SECONDS = 30.0  # between two checkpoints
SHARE = 0.01  # of the training's time that checkpoints may take
LOCK_SECONDS = 1.0  # others hold the lock for a moment, to see whether the training runs (`old_checkpoints.py`)
PARTS = "determined_by"  # in `progress.json`: checksums of what determines the result, by name
GENERATIONS = 2  # kept: the older one serves if the newer one is damaged


@dataclasses.dataclass(frozen=True)
class Progress:
    """The state of a training: named tensors, and plain values."""

    tensors: dict[str, torch.Tensor]
    values: dict


class Checkpoint:
    """The checkpoints of one training, in `$DVC_ROOT/.checkpoints/<stage>/<key>/<number>/`.

    Each is written under another name and put in place by one rename to a new number. If the same training runs twice
    at once, only the first one keeps checkpoints; the results are the same anyway.

    Args:
        stage: the section of the training's settings.
        determined_by: everything that determines the result; the key is its hash.
        seconds: between two checkpoints; more if saving one takes more than 1 % of this time.
    """

    def __init__(self, stage: str, determined_by: Mapping[str, object], seconds: float = SECONDS):
        everything = {**determined_by, "code": code_checksum()}
        self._parts = {name: _digest(value) for name, value in everything.items()}
        described = json.dumps(everything, sort_keys=True)
        key = hashlib.sha256(described.encode()).hexdigest()[:16]
        self.folder = paths.checkpoints() / stage / key
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock: FileLock | None = FileLock(self.folder.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            self._lock = None
            print("another process trains with these settings now; it keeps the checkpoints", flush=True)
            return
        self._wanted = seconds  # between checkpoints
        self._last: float | None = None  # seconds that saving took
        self._fails = False
        self._seconds, self._worth = seconds, 0.0  # the least time between checkpoints, and where it is a good moment
        self._saved_at = time.monotonic()
        prune(self.folder)
        remove_debris(self.folder)

    def load(self, check: Callable[[Progress], None] = lambda progress: None) -> Progress | None:
        """The last saved state; None if there is none that is whole.

        Args:
            check: raises ValueError if a state does not fit the training.

        A checkpoint that is damaged or does not fit is removed with a message, and the one before is tried.

        Raises:
            MemoryError, OSError: the machine cannot read one now, which stays.
        """
        if self._lock is None:
            return None
        for generation in reversed(self._generations()):
            try:
                progress = _read(generation)
                check(progress)
            except (ValueError, OSError, RecursionError) as error:
                raise_shortage(error)
                print(f"checkpoint {generation} is removed, since it is damaged: {error}", flush=True)
                remove(generation)
            else:
                return progress
        self._say_what_differs()
        return None

    def _say_what_differs(self) -> None:
        """Name what keeps the newest unfinished training with these settings from being resumed here."""
        for training in unfinished_trainings(self.folder.parent, but=self.folder):
            try:
                values = read_json(_generations(training.folder)[-1] / "progress.json")
                theirs = values[PARTS]
            except (ValueError, OSError, LookupError, TypeError):
                continue  # damaged, or of an earlier version
            if theirs.get("settings") == self._parts.get("settings"):
                others = [name for name, digest in self._parts.items() if theirs.get(name) != digest]
                print(
                    f"an unfinished training with these settings, at step {values.get('step')}, cannot be resumed, "
                    f"since its {listed(others, ' and ')} differed: this one begins anew; it is in {training.folder}",
                    flush=True,
                )
                return

    def is_due(self, *, good_moment: bool = False) -> bool:
        """Whether to save now.

        A good moment, such as after a validation, is taken whenever the cost allows it.
        """
        if self._lock is None:
            return False
        return time.monotonic() - self._saved_at >= (self._worth if good_moment else self._seconds)

    def save(self, progress: Progress) -> bool:
        """Save a state as the newest checkpoint, and remove all but the last two; whether that worked.

        A disk that is full or fails ends no training: this is said, and the next checkpoint tries again.
        """
        if self._lock is None:
            return False
        start = time.monotonic()
        try:
            self._write(progress)
        except OSError as error:
            self._saved_at, self._worth = time.monotonic(), self._seconds
            if not self._fails:
                print(f"no checkpoint could be saved, and the training goes on: {error.strerror or error}", flush=True)
            self._fails = True
            return False
        self._saved_at, self._fails = time.monotonic(), False
        self._limit_cost(self._saved_at - start)
        return True

    def _write(self, progress: Progress) -> None:
        generations = self._generations()
        number = int(generations[-1].name) + 1 if generations else 1
        with atomic_folder(self.folder / f"{number:06}") as folder:
            save_tensors(folder / "state.safetensors", progress.tensors)
            # The order of keys is kept: it is that of the columns of the history.
            values = {**progress.values, PARTS: self._parts}
            write_text(folder / "progress.json", json.dumps(values, allow_nan=False))
            write_json(folder / "checksums.json", {name: sha256(folder / name) for name in _FILES})
        for old in generations[: 1 - GENERATIONS]:
            remove(old)

    def _limit_cost(self, seconds: float) -> None:
        """Leave so much time between checkpoints that saving, which took this long, takes a small share of it.

        A disk that was slow once does not count: of the last two, the faster one does.
        """
        cost = seconds if self._last is None else min(seconds, self._last)
        self._worth, self._last = cost / SHARE, seconds
        if self._worth <= self._wanted:
            self._seconds = self._wanted
        elif self._worth > self._seconds or self._seconds > 3 * self._worth:
            self._seconds = 1.5 * self._worth  # so that a slightly slower one is not worth another message
            print(f"saving a checkpoint takes {cost:.1f} s: now one is saved every {self._seconds:.0f} s", flush=True)

    def close(self, *, finished: bool) -> None:
        """Release the lock; remove the checkpoints of a finished training."""
        if self._lock is None:
            return
        if finished:
            remove(self.folder)
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def _generations(self) -> list[Path]:
        """The checkpoints, from the oldest to the newest."""
        if self.folder.exists() and not self.folder.is_dir():
            print(f"{self.folder} is removed, since it is not a folder of checkpoints", flush=True)
            remove(self.folder)
        return _generations(self.folder)


class NoCheckpoint:
    """Saves nothing, for benchmarks."""

    def load(self, check: Callable[[Progress], None] = lambda progress: None) -> None:
        """Return None."""

    def is_due(self, *, good_moment: bool = False) -> bool:
        """Never."""
        return False

    def save(self, progress: Progress) -> bool:
        """Do nothing."""
        return False

    def close(self, *, finished: bool) -> None:
        """Do nothing."""


_FILES = ("state.safetensors", "progress.json")


def _generations(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("*") if path.name.isdecimal()), key=lambda path: int(path.name))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _read(generation: Path) -> Progress:
    """Read a checkpoint.

    Raises:
        ValueError, OSError, RecursionError: a file is missing or is not what was written.
    """
    expected = read_json(generation / "checksums.json")
    if not isinstance(expected, dict) or set(expected) != set(_FILES):
        raise ValueError("checksums.json does not list the files")
    for name in _FILES:
        if sha256(generation / name) != expected[name]:
            raise ValueError(f"the checksum of {name} is not the one that was written")
    values = read_json(generation / "progress.json")
    values.pop(PARTS, None)
    return Progress(load_tensors(generation / "state.safetensors"), values)


def code_checksum() -> str:
    """Checksum of our code: a changed version must not resume an old training."""
    digest = hashlib.sha256()
    top = Path(__file__).parents[2]
    for path in sorted([*top.glob("quartet/**/*.py"), *top.glob("stages/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
