"""Atomic writes: a file appears complete or not at all."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

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
    path.parent.mkdir(parents=True, exist_ok=True)
    # Image writers choose the format by the suffix.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it replaces `path` if the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".unfinished-"))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            # Rename the old folder first: deleting it takes long enough that a kill could leave neither folder.
            former = Path(tempfile.mkdtemp(dir=path.parent, prefix=".unfinished-"))
            path.replace(former)
            temporary.replace(path)
            shutil.rmtree(former)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
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
        ValueError: the file is missing or broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; `dvc repro` builds it") from error
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and run `dvc repro`") from error


def rounded(scores: Mapping[str, float], digits: int = 6) -> dict[str, float]:
    """Round scores for a metrics file; integers stay integers."""
    return {name: value if isinstance(value, int) else round(float(value), digits) for name, value in scores.items()}
