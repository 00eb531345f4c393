"""Where labelled sequences come from: the processed images, scikit-learn's docstrings, or a user's file."""

import shutil
from pathlib import Path

import pandas as pd

from quartet.artifacts.checksums import sha256
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.paths import user_path
from quartet.artifacts.writing import atomic_path, write_table
from quartet.sequences.time_series import read_time_series


def download_sequences(source: str, fetching: Fetching, folder: Path) -> dict:
    """Write the sequences that the setting `download.sequences` names into `folder`; returns their manifest.

    Raises:
        ValueError: a user's file is missing or malformed.
    """
    if source.startswith("csv:"):
        return {"source": source, **_own_series(user_path(source.removeprefix("csv:")), folder / "series.csv")}
    if source == "docstring-topics":
        return {"source": source, **_topics(folder / "passages.csv")}
    # Rows and pixels are read from the processed images.
    return {"source": source, "origin": "data/processed/images"}


def _own_series(path: Path, target: Path) -> dict:
    series = read_time_series(path, missing="zero")  # reports malformed rows now rather than in `preprocess`
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    counts = {"series": len(series.lengths), "steps": int(series.lengths.sum()), "features": len(series.features)}
    return {
        "origin": path.name,
        "licence": "the user's own",
        "checksums": {target.name: sha256(target)},
        "counts": counts,
    }


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
