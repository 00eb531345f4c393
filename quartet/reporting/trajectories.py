"""Plot the paths of hidden states in a plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib import color_sequences
from matplotlib.figure import Figure

from quartet.reporting.drawing.figures import GREY, INK, printable, tidy


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
