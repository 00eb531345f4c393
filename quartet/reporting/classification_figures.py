"""Figures of a classifier: the confusion matrix as a heat map, the reliability diagram, the examples of each class."""

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from quartet.reporting.drawing.figures import BLUE, GREY, INK, ORANGE, printable, tidy
from quartet.reporting.drawing.fonts import columns


def confusion_figure(counts: pd.DataFrame, title: str, row_label: str = "actual") -> Figure:
    """The confusion matrix as a heat map, with counts in the cells where they fit; legible up to 100 classes."""
    classes = len(counts)
    names = [printable(name) for name in counts.columns]
    cell = min(max(30.0, 220 / classes), 1080 / classes)  # in points, like all lengths here
    if classes <= 100:
        cell = max(cell, 4.5 * len(str(counts.to_numpy().max())))  # room for the digits
    letters = min(9.0, 0.75 * cell)
    margin = 0.6 * letters * max(map(columns, names))  # room for the names
    upright = classes > 10 or margin > 2 * cell
    width, height = classes * cell + margin + 150, classes * cell + margin + 80
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    axes = figure.subplots()
    shares = counts.to_numpy() / np.maximum(counts.to_numpy().sum(axis=1, keepdims=True), 1)
    # The square root makes a share of one in a hundred visible.
    scale = PowerNorm(0.5, vmin=0, vmax=1)
    shown = axes.imshow(shares, cmap="Blues", norm=scale)
    axes.set_xticks(range(classes), names, rotation=90 if upright else 45, fontsize=letters)
    axes.set_yticks(range(classes), names, fontsize=letters)
    axes.set(xlabel="predicted", ylabel=row_label, title=title)
    for row, column in zip(*np.nonzero(counts.to_numpy()), strict=True):
        count = str(counts.iat[row, column])
        size = min(8.0, 0.75 * cell, cell / (0.75 * len(count)))
        if size >= 4:
            colour = "white" if scale(shares[row, column]) > 0.6 else INK
            text = axes.text(column, row, count, ha="center", va="center", fontsize=size, color=colour)
            text.set_in_layout(False)
    figure.colorbar(shown, ax=axes, label=f"share of the {row_label} class", shrink=0.7)
    return figure


def reliability_figure(bins: pd.DataFrame, error: float) -> Figure:
    """Plot accuracy over confidence; `error` is the expected calibration error."""
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
    axes.plot(bins["confidence"], bins["accuracy"], "o-", color=BLUE, label="this network")
    axes.set(xlabel="confidence", ylabel="accuracy", title=f"Expected calibration error {error:.4f}")
    axes.legend(frameon=False, loc="upper left")
    tidy(axes)
    return figure


def class_counts_figure(counts: pd.DataFrame) -> Figure:
    """Examples of each class (rows) in each split (columns), as bars from top to bottom; names up to 100 classes."""
    classes = len(counts)
    pitch = min(0.28, 18 / classes)  # inches
    figure = Figure(figsize=(7, pitch * classes + 1.2), layout="constrained")
    axes = figure.subplots()
    places, start = np.arange(classes), np.zeros(classes, dtype=int)
    for colour, split in zip((BLUE, GREY, ORANGE), counts.columns, strict=True):
        axes.barh(places, counts[split], left=start, color=colour, label=split)
        start = start + counts[split].to_numpy()
    if classes <= 100:
        size = min(9.0, 50 * pitch)
        axes.set_yticks(places, [printable(name) for name in counts.index], fontsize=size)
        for place, total in enumerate(start.tolist()):
            axes.text(total, place, f" {total:,}", va="center", fontsize=0.85 * size, color=INK)
    axes.set(title="Examples of each class", xlabel="examples", ylim=(classes - 0.4, -0.6))
    axes.margins(x=0.12)
    axes.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.5 / figure.get_figheight()))
    tidy(axes)
    return figure
