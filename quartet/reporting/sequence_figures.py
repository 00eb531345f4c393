"""Figures of sequences: paths of hidden states, time series, predicted numbers, forecasts."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quartet.reporting.drawing.figures import BLUE, GREY, INK, LINE_COLOURS, ORANGE, printable, tidy

FEATURES = 3  # of a series that are drawn
LONGEST = 60  # characters of a title


def paths_figure(paths: Sequence[np.ndarray], names: Sequence[str]) -> Figure:
    """Paths `(steps, 2)` in a plane, coloured by name; a dot marks the end of each."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    colours = dict(zip(dict.fromkeys(names), color_sequences["tab20"], strict=False))
    for path, name in zip(paths, names, strict=True):
        colour = colours.get(name, GREY)
        axes.plot(path[:, 0], path[:, 1], "-", color=colour, linewidth=1, alpha=0.8)
        axes.plot(path[-1, 0], path[-1, 1], "o", color=colour)
        axes.annotate(printable(name), path[-1], textcoords="offset points", xytext=(5, 4), fontsize=8, color=INK)
    axes.set(title="Hidden states from step to step", xlabel="first principal component", ylabel="second")
    tidy(axes)
    return figure


def series_figure(
    series: Sequence[np.ndarray],
    nearest: Sequence[np.ndarray],
    looked: Sequence[np.ndarray],
    titles: Sequence[tuple[str, str]],
    title: str,
) -> Figure:
    """Series `(steps, features)` as curves, each above the training series that is most like it.

    Behind a series, the darker a stretch, the more the answer hangs on it: `looked` has a number per step. `titles` are
    those of the series and of its nearest.
    """
    figure = Figure(figsize=(4.6 * len(series), 4.4), layout="constrained")
    grid = figure.subplots(2, len(series), squeeze=False)
    for column, (values, other, weights, names) in enumerate(zip(series, nearest, looked, titles, strict=True)):
        above, below = grid[:, column]
        _curves(above, values)
        low, high = above.get_ylim()
        shade = weights / max(float(weights.max()), 1e-12)
        extent = (0, len(values) - 1, low, high)
        above.imshow(shade[None], aspect="auto", extent=extent, cmap="Oranges", vmin=0, vmax=1.6, zorder=-1)
        _curves(below, other)
        for axes, text in zip((above, below), names, strict=True):
            axes.set_title(printable(text, LONGEST), fontsize=9, color=INK)
        below.set_xlabel("step")
    figure.suptitle(title, fontsize=11)
    return figure


def _curves(axes: Axes, values: np.ndarray) -> None:
    for colour, feature in zip(LINE_COLOURS[::2], values.T[:FEATURES], strict=False):
        axes.plot(feature, color=BLUE if values.shape[1] == 1 else colour, linewidth=1.2)
    axes.margins(x=0)
    tidy(axes)
    axes.grid(False)


def numbers_figure(actual: np.ndarray, predicted: np.ndarray, title: str) -> Figure:
    """Predicted against true numbers, and the residuals over the predictions."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    against, residuals = figure.subplots(1, 2)
    against.plot(actual, predicted, "o", color=BLUE, alpha=0.6, markersize=4)
    span = [min(actual.min(), predicted.min()), max(actual.max(), predicted.max())]
    against.plot(span, span, color=ORANGE, linewidth=1)
    against.set(title=title, xlabel="true", ylabel="predicted")
    residuals.plot(predicted, predicted - actual, "o", color=BLUE, alpha=0.6, markersize=4)
    residuals.axhline(0, color=ORANGE, linewidth=1)
    residuals.set(title="Residuals", xlabel="predicted", ylabel="predicted − true")
    for axes in (against, residuals):
        tidy(axes)
    return figure


@dataclasses.dataclass(frozen=True)
class Fan:
    """One forecast: what was seen, what came, and the forecast's 10 %, 50 % and 90 % quantiles, `(steps,)` each."""

    name: str
    seen: np.ndarray
    actual: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray


def fan_figure(fans: Sequence[Fan]) -> Figure:
    """Fan charts: the median of each forecast, and the band that should hold eight of ten values."""
    columns = min(3, len(fans))
    rows = -(-len(fans) // columns)
    figure = Figure(figsize=(4.4 * columns, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, fan in zip(grid, fans, strict=False):
        before, after = np.arange(-len(fan.seen) + 1, 1), np.arange(1, len(fan.actual) + 1)
        axes.plot(before, fan.seen, color=GREY)
        axes.plot(after, fan.actual, color=INK, linewidth=1, label="what came")
        axes.fill_between(after, fan.low, fan.high, color=BLUE, alpha=0.2, linewidth=0, label="10 % to 90 %")
        axes.plot(after, fan.middle, color=BLUE, label="forecast")
        axes.set_title(printable(fan.name, LONGEST), fontsize=9, color=INK)
        tidy(axes)
    for axes in grid[len(fans) :]:
        axes.set_visible(False)
    grid[0].legend(frameon=False, fontsize=8)
    figure.suptitle("Forecasts from several steps of the test stretch", fontsize=11)
    return figure
