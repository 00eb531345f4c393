"""Parallel coordinates: each trial of a search is a line through its settings to its score."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from quartet.reporting.drawing.figures import INK
from quartet.reporting.drawing.fonts import drawable


def parallel_coordinates(trials: pd.DataFrame, score: str, log: frozenset[str] = frozenset()) -> Figure:
    """One line per row of `trials`, through one axis per column with `score` last; the best lines are darkest.

    Columns in `log` have logarithmic axes; on axes of text, the values are evenly spaced.
    """
    columns = [column for column in trials.columns if column != score] + [score]
    figure = Figure(figsize=(max(6.0, 2.0 * len(columns)), 4.6), layout="constrained")
    axes = figure.subplots()
    places = {}
    for number, column in enumerate(columns):
        places[column], marks = _axis(trials[column], column in log)
        axes.axvline(number, color=INK, linewidth=0.8)
        for place, text in marks:
            legible = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
            axes.text(number + 0.03, place, text, fontsize=8, color=INK, va="center", zorder=3, bbox=legible)
    ranks = trials[score].rank(pct=True)
    lines = np.stack([places[column] for column in columns], axis=1)  # (trials, columns)
    for row in trials[score].argsort():
        best = row == trials[score].to_numpy().argmax()
        axes.plot(lines[row], color=colormaps["viridis_r"](ranks.iloc[row]), linewidth=2.6 if best else 1.1, alpha=0.85)
    axes.set_xticks(range(len(columns)), [column.replace(".", ".\n") for column in columns], fontsize=9)
    axes.set_yticks([])
    axes.set(xlim=(-0.1, len(columns) - 0.6), ylim=(-0.05, 1.05))
    axes.set_title(f"{len(trials)} trials; the thick line has the best {score}", fontsize=10)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _axis(values: pd.Series, log: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """The positions of the values in [0, 1], and marks `(position, text)` for the axis."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        names = sorted(values.astype(str).unique())
        step = 1 / max(len(names) - 1, 1)
        place = {name: number * step if len(names) > 1 else 0.5 for number, name in enumerate(names)}
        return values.astype(str).map(place).to_numpy(), [(place[name], drawable(name)) for name in names]
    numbers = np.log(values.to_numpy(float)) if log else values.to_numpy(float)
    low, high = numbers.min(), numbers.max()
    if low == high:
        return np.full(len(numbers), 0.5), [(0.5, f"{values.iloc[0]:.4g}")]
    shares = np.linspace(0, 1, 5)
    at = low + shares * (high - low)
    texts = [f"{value:.4g}" for value in (np.exp(at) if log else at)]
    return (numbers - low) / (high - low), list(zip(shares.tolist(), texts, strict=True))
