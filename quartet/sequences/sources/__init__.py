"""Where labelled sequences come from: the processed images, scikit-learn's docstrings, or a user's files."""

import shutil
from pathlib import Path

import pandas as pd

from quartet.artifacts.checksums import sha256
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.paths import user_path
from quartet.artifacts.writing import write_table
from quartet.datasets.reading.tables import read_table
from quartet.datasets.reading.ts_files import read_ts_files, ts_files


def download_sequences(source: str, fetching: Fetching, folder: Path) -> dict:
    """Write the sequences that the setting `download.sequences` names into `folder`; returns their manifest.

    Raises:
        BadInput: a user's file cannot be read.
    """
    kind, _, path = source.partition(":")
    folder.mkdir(parents=True, exist_ok=True)
    if path:
        return {"source": source, **_own_files(kind, user_path(path), folder)}
    if source == "docstring-topics":
        return {"source": source, **_topics(folder / "passages.csv")}
    # Rows and pixels are read from the processed images.
    return {"source": source, "origin": "data/processed/images"}


def _own_files(kind: str, path: Path, folder: Path) -> dict:
    """Copy the files once they are known to be readable; the settings that their columns need come in `preprocess`."""
    files = own_files(kind, path)
    rows = len(read_ts_files(files).names) if kind == "ts" else len(read_table(path))
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return {
        "origin": path.name,
        "licence": "the user's own",
        "files": {file.name: split for file, split in files.items()},
        "checksums": {file.name: sha256(folder / file.name) for file in files},
        "counts": {"series" if kind == "ts" else "rows": rows},
    }


def own_files(kind: str, path: Path) -> dict[Path, str | None]:
    """The files of a user's source, each with its split where its name says so.

    Raises:
        BadInput: there are no such files.
    """
    return ts_files(path) if kind == "ts" else {path: None}


def _topics(target: Path) -> dict:
    from quartet.sequences.sources.docstring_topics import docstring_topics

    passages = docstring_topics()
    write_table(target, pd.DataFrame(passages))
    return {
        "origin": "docstrings of scikit-learn",
        "licence": "BSD-3-Clause",
        "checksums": {target.name: sha256(target)},
        "counts": {"passages": len(passages), "objects": len({passage.object_name for passage in passages})},
    }
