"""Write the confusion files of an evaluation."""

from pathlib import Path

import numpy as np

from quartet.artifacts.writing import write_table
from quartet.classification.scores import confusion_counts, confusion_rows
from quartet.reporting.classification_figures import confusion_figure
from quartet.reporting.drawing.figures import save_figure


def write_confusion(
    folder: Path, actual: np.ndarray, predicted: np.ndarray, classes: list[str], title: str, row_label: str = "actual"
) -> None:
    """Write `confusion.csv` (for DVC's plots), `confusion_matrix.csv` and `confusion.png`."""
    write_table(folder / "confusion.csv", confusion_rows(actual, predicted, classes))
    counts = confusion_counts(actual, predicted, classes)
    write_table(folder / "confusion_matrix.csv", counts, index=True)
    save_figure(confusion_figure(counts, title, row_label), folder / "confusion.png")
