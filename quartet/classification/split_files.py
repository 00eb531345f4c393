"""Write what a reader of the scores should know about the data: how it was split, and how many there are of a class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from quartet.artifacts.writing import write_json
from quartet.reporting.classification_figures import class_counts_figure
from quartet.reporting.drawing.figures import save_figure

SPLITS = ("train", "validation", "test")  # in the order of the picture


def write_splits(folder: Path, info: Mapping, classes: Sequence[str] = ()) -> None:
    """Write `evaluation/data.json` for the report and, where there are classes to tell apart, `class_counts.png`.

    Args:
        folder: the report's.
        info: the `info.json` of the processed data.
        classes: their names; none where the data has texts, or numbers to predict.
    """
    splits = info["splits"]
    counts = {name: splits["classes"][name] for name in SPLITS} if classes else {}
    described = {
        "origin": splits["origin"],
        "warnings": splits["warnings"],
        "examples": {name: sum(splits["classes"][name]) for name in SPLITS},
        "classes": list(classes),
        "class_counts": counts,
    }
    write_json(folder / "evaluation/data.json", described)
    if classes:
        figure = class_counts_figure(pd.DataFrame(counts, index=list(classes)))
        save_figure(figure, folder / "evaluation/class_counts.png")
