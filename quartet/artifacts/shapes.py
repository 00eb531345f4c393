"""What must be in the JSON files that one stage writes and another reads, as shapes of `json_reading.py`."""

from typing import Any

_COUNTS = {"train": int, "validation": int, "test": int}
_INFO = {"source": str, "counts": dict, "splits": dict, "sha256": str}

# `data/processed/<item>/info.json`, by item; others have what all have.
INFO: dict[str, dict[str, Any]] = {
    "images": {
        **_INFO,
        "classes": [str],
        "caption_subject": str,
        "size": int,
        "channels": int,
        "mean": [float],
        "std": [float],
        "counts": _COUNTS,
    },
    "text": {
        **_INFO,
        "tokenizer": str,
        "vocabulary_size": int,
        "counts": dict.fromkeys(_COUNTS, dict),
    },
    "sequences": {**_INFO, "kind": str, "input": str, "classes": [str], "steps": int, "features": int},
}

# `data/raw/<item>/manifest.json`, by item.
MANIFEST: dict[str, dict[str, Any]] = {
    "images": {"source": str, "classes": [str], "caption_subject": str},
    "text": {"source": str, "split": str},
    "sequences": {"source": str},
}
START = {"from": (str, None)}  # `data/raw/weights/<family>/manifest.json`

CARD = {"family": str, "network": {"name": str}, "data": {"sha256": str}, "training": dict, "sha256": str}

SCORES = {str: float}  # `metrics.json` and `training.json` of a report
RUN = {"run_id": str}  # `run.json` of a training that was tracked
# `evaluation/data.json` of a report.
DATA = {
    "origin": str,
    "warnings": [str],
    "examples": {str: int},
    "classes": [str],
    "class_counts": {str: [int]},
}


def info_shape(item: str) -> dict[str, Any]:
    """What must be in the `info.json` of an item."""
    return INFO.get(item, _INFO)
