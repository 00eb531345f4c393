"""Checkpoints of trainings with other settings: the newest few of each stage stay, in case they are wanted again."""

import contextlib
import dataclasses
from pathlib import Path

from filelock import FileLock, Timeout

from quartet.artifacts.exchanging import remove

KEPT, KEPT_BYTES = 3, 2**31  # per stage, besides those of the training that runs


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """The checkpoints of one unfinished training.

    Attributes:
        folder: where they are.
        bytes: their size.
        modified: when the last one was saved, in seconds of the epoch.
    """

    folder: Path
    bytes: int
    modified: float


def unfinished_trainings(stage: Path, but: Path | None = None) -> list[Unfinished]:
    """The unfinished trainings of a stage that do not run now, `but` left out, from the newest to the oldest."""
    folders = (folder for folder in stage.glob("*") if folder.is_dir() and folder != but)
    found = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):  # another process removes it at this moment
            if not _is_running(folder):
                found.append(_measured(folder))
    return sorted(found, key=lambda training: training.modified, reverse=True)


def prune(own: Path) -> None:
    """Remove the checkpoints of other trainings of the stage beyond the newest few, by number or total size."""
    total, removed = 0, []
    for number, training in enumerate(unfinished_trainings(own.parent, but=own), start=1):
        total += training.bytes
        if number > KEPT or (number > 1 and total > KEPT_BYTES):  # the newest may be a large one, and is wanted most
            discard(training)
            removed.append(training)
    if removed:
        size = sum(training.bytes for training in removed) / 1e6
        print(
            f"removed the checkpoints of {len(removed)} older trainings with other settings, {size:.1f} MB", flush=True
        )


def discard(training: Unfinished) -> None:
    """Remove the checkpoints of a training, unless it runs now."""
    lock = _lock_of(training.folder)
    try:
        with lock.acquire(timeout=0):
            remove(training.folder)
            Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout:
        return


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder.with_suffix(".lock"))


def _is_running(folder: Path) -> bool:
    try:
        with _lock_of(folder).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _measured(folder: Path) -> Unfinished:
    statuses = [path.stat() for path in folder.rglob("*") if path.is_file()]
    newest = max((status.st_mtime for status in statuses), default=folder.stat().st_mtime)
    return Unfinished(folder, sum(status.st_size for status in statuses), newest)
