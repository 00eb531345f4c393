"""The reliability diagram: accuracy over confidence."""

import pandas as pd
from matplotlib.figure import Figure

from quartet.reporting.figures import BLUE, GREY, tidy


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
