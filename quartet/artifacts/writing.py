"""Atomic writes: a file appears complete or not at all."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts.disk_space import naming_full_disks
from quartet.artifacts.exchanging import put_in_place, restore
from quartet.artifacts.json_reading import parse_object
from quartet.artifacts.unfinished import unfinished_file, unfinished_folder

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` if the block ends without error.

    Raises:
        OSError: the disk is full, the folder is not writable, or `path` is a folder; `path` is left unchanged.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # Image writers choose the format by the suffix.
    with unfinished_file(path.parent, path.suffix) as temporary:
        with naming_full_disks(path):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
        temporary.chmod(0o644)
        put_in_place(temporary, path)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it replaces `path` if the block ends without error."""
    restore(path)
    with unfinished_folder(path.parent) as temporary:
        with naming_full_disks(path):
            yield temporary
        temporary.chmod(0o755)
        put_in_place(temporary, path)


@contextlib.contextmanager
def atomic_entries(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; if the block ends without error, what is in it moves to `folder`.

    Each of its files and folders replaces the one of its name; others in `folder` stay.
    """
    with unfinished_folder(folder.parent) as temporary:
        with naming_full_disks(folder):
            yield temporary
        folder.mkdir(exist_ok=True)
        for entry in sorted(temporary.iterdir()):
            restore(folder / entry.name)
            put_in_place(entry, folder / entry.name)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary, naming_full_disks(path, len(content)):
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 atomically; line endings stay as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON with sorted keys, so that equal content means equal bytes."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_table(path: Path, table: "pd.DataFrame", index: bool = False) -> None:
    """Write a pandas table as CSV atomically."""
    write_text(path, table.to_csv(index=index, lineterminator="\n"))


def read_json(path: Path) -> dict:
    """Read a JSON object.

    Raises:
        ValueError: the file is missing or is no JSON object.
    """
    try:
        return parse_object(path.read_bytes(), path, "delete it and run `dvc repro`")
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; `dvc repro` builds it") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder; delete it and run `dvc repro`") from error


def rounded(scores: Mapping[str, float], digits: int = 6) -> dict[str, float]:
    """Round scores for a metrics file; integers stay integers."""
    return {name: value if isinstance(value, int) else round(float(value), digits) for name, value in scores.items()}
