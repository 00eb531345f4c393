"""The files that evaluation leaves for a family, under the names that DVC and people look for."""

from pathlib import Path

import numpy as np

from quartet.artifacts.writing import rounded, write_json, write_table
from quartet.reporting.figures import confusion_figure, save_figure
from quartet.reporting.scores import confusion_counts, confusion_rows


def write_metrics(folder: Path, scores: dict[str, float]) -> None:
    """`metrics.json`: flat, sorted, rounded."""
    write_json(folder / "metrics.json", rounded(scores))


def write_confusion(
    folder: Path, actual: np.ndarray, predicted: np.ndarray, classes: list[str], title: str, row_label: str = "actual"
) -> None:
    """`confusion.csv`, `confusion_matrix.csv` and `confusion.png`."""
    write_table(folder / "confusion.csv", confusion_rows(actual, predicted, classes))
    counts = confusion_counts(actual, predicted, classes)
    write_table(folder / "confusion_matrix.csv", counts, index=True)
    save_figure(confusion_figure(counts, title, row_label), folder / "confusion.png")
