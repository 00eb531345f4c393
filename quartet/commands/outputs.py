"""Refuse, before a long run, an output that could not be written or that would replace the input."""

import os
from collections.abc import Iterable
from pathlib import Path

from quartet.artifacts.errors import BadInput


def refuse_table(out: Path, source: Path) -> None:
    """Refuse a table whose name does not end in `.csv`, and as `refuse_file`.

    Raises:
        BadInput: it is refused.
    """
    if out.suffix.lower() != ".csv":
        raise BadInput(f"--out: found {out}, allowed is the name of a file that ends in .csv")
    refuse_file(out, [source])


def refuse_file(out: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a file that is a folder, is one of the inputs, or lies where nothing can be written.

    Raises:
        BadInput: it is refused.
    """
    if out.is_dir():
        raise BadInput(f"--out: {out} is a folder; give the name of a file")
    if out.exists() and any(given.exists() and out.samefile(given) for given in inputs):
        raise BadInput(f"--out: {out} is the input itself, which would be lost; give another name")
    _refuse_place(out)


def refuse_folder(out: Path) -> None:
    """Refuse a folder that has something in it, or lies where nothing can be written.

    Raises:
        BadInput: it is refused.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"--out: {out} exists already; give the name of a new folder")
    _refuse_place(out)


def _refuse_place(out: Path) -> None:
    place = next(folder for folder in out.absolute().parents if folder.exists())
    if not place.is_dir():
        raise BadInput(f"--out: {out}: {place} is a file, not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise BadInput(f"--out: {out}: nothing can be written into {place}; give another place")
