"""The scores and files of a classifier that has no classes to tell apart: they say so."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from quartet.artifacts.writing import write_table
from quartet.classification.split_files import write_splits
from quartet.reporting.classification_figures import confusion_figure
from quartet.reporting.drawing.figures import save_figure

NAME = "no classes"  # in the place of a class


def report_no_classes(folder: Path, info: Mapping, what: str) -> dict[str, float]:
    """Write the confusion files and what is said of the data into `folder`; returns the scores.

    Args:
        folder: the report's.
        info: the `info.json` of the processed data.
        what: the model, for the title.
    """
    warning = "there are captions, but no classes to tell apart, so no classifier was trained"
    splits = {**info["splits"], "warnings": [*info["splits"]["warnings"], warning]}
    write_splits(folder, {**info, "splits": splits})
    examples = info["counts"]["test"]
    write_table(folder / "confusion.csv", pd.DataFrame({"actual": [NAME] * examples, "predicted": [NAME] * examples}))
    counts = pd.DataFrame([[examples]], index=pd.Index([NAME], name="actual"), columns=[NAME])
    write_table(folder / "confusion_matrix.csv", counts, index=True)
    save_figure(confusion_figure(counts, f"{what}: {NAME}"), folder / "confusion.png")
    return {"classes": 0, "test_examples": examples}
