"""Basics of all figures (saving, colours, axes, names), and figures of learning curves, lines and bars."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quartet.artifacts.writing import atomic_path
from quartet.reporting.drawing.fonts import columns, drawable

INK, BLUE, ORANGE, GREY = "#1f2430", "#2563a8", "#d9722e", "#9aa1ad"
LINE_COLOURS = (BLUE, ORANGE, GREY, "#3b8f5a", "#8a4fa3", "#b8a13a")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight", facecolor="white")


def learning_curves(history: pd.DataFrame, kept_step: int) -> Figure:
    """Training and validation loss, and validation score, over steps; a dot marks the step whose weights are kept."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    losses.plot(history["step"], history["training_loss"], color=GREY, label="training")
    losses.plot(history["step"], history["validation_loss"], color=BLUE, label="validation")
    losses.set(title="Loss", xlabel="step")
    losses.legend(frameon=False)
    (kept,) = history.loc[history["step"] == kept_step, "validation_score"]
    scores.plot(history["step"], history["validation_score"], color=BLUE)
    scores.plot(kept_step, kept, "o", color=ORANGE)
    scores.set(title=f"Validation score ({kept:.4f} with the weights kept)", xlabel="step")
    for axes in (losses, scores):
        tidy(axes)
    return figure


def line_figure(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x: str,
    y: str,
    logarithmic: bool = False,
    marks: Sequence[str] = (),
) -> Figure:
    """Named lines `(x values, y values)`; a single line has no legend. `marks` label the points of each line."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, (places, values)) in zip(LINE_COLOURS, lines.items(), strict=False):
        axes.plot(places, values, "o-" if len(places) <= 20 else "-", color=colour, label=name)
        for mark, point in zip(marks, zip(places, values, strict=True), strict=False):
            axes.annotate(mark, point, textcoords="offset points", xytext=(4, 4), fontsize=7, color=INK)
    axes.set(title=title, xlabel=x, ylabel=y)
    if logarithmic:
        axes.set_yscale("log")
    if len(lines) > 1:
        axes.legend(frameon=False)
    tidy(axes)
    return figure


def bars(names: Sequence[str], values: Sequence[float], title: str, unit: str, highlight: str) -> Figure:
    """Horizontal bars from top to bottom; the highlighted one is in colour."""
    figure = Figure(figsize=(7, 0.45 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    colours = [BLUE if name == highlight else GREY for name in names]
    axes.barh(names, values, color=colours)
    for place, value in enumerate(values):
        axes.text(value, place, f" {value:.3f}", va="center", fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.set(title=title, xlabel=unit)
    axes.margins(x=0.12)
    tidy(axes)
    return figure


def tidy(axes: Axes) -> None:
    """Remove the frame at the top and the right, and draw a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def printable(name: str, longest: int = 30) -> str:
    """Make white space in a class or token name visible, and escape dollar signs, which would start a formula.

    Letters that no font has become their code points. Of a long name, only the beginning and the end are kept, and, of
    code points, a checksum of the name in between, which tells it from similar ones.
    """
    named = name.replace("\n", "↵").replace("\t", "⇥")
    shown = drawable(named)
    shown = _cut(shown, longest, "" if shown == named else f"{zlib.crc32(name.encode()):08x}"[:4]).replace("$", r"\$")
    return shown.replace(" ", "␣") if shown.strip() == "" or shown != shown.strip() else shown


def _cut(name: str, longest: int, sign: str) -> str:
    """The beginning and the end of a name that is wider than `longest` letters, with `sign` in between."""
    longest = longest * len(name) // max(columns(name), 1)
    if len(name) <= longest:
        return name
    dots = f"…{sign}…" if sign and longest > len(sign) + 4 else "…"
    ending = (longest - len(dots)) // 2
    return name[: longest - len(dots) - ending] + dots + name[len(name) - ending :]
