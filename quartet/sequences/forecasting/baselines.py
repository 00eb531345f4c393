"""Forecasts that take no training, or a second: as a season ago, and ridge regression on the window."""

from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from quartet.sequences.forecasting.windows import Windows, load_windows

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
EXAMPLES = 20_000  # training windows, of single features, at most


def seasonal_naive(windows: Windows, chosen: Tensor, season: int) -> Tensor:
    """What was a season, or as many as it takes, before: `(batch, horizon, forecast features)`.

    Processed splits reach back a season even where the window does not.
    """
    places = torch.arange(windows.horizon, device=windows.values.device) % season - season
    found = windows.values[windows.origins[chosen][:, None] + places]
    return found[..., : found.shape[-1] - windows.known]


class LinearForecast:
    """Ridge regression from the window to the horizon, the same for all features, less the last step of the window.

    The penalty is chosen on the validation split.
    """

    def __init__(self, folder: Path, info: dict):
        train, held_out = (load_windows(folder, split, info) for split in ("train", "validation"))
        inputs, goals = _examples(train)
        held_inputs, held_goals = _examples(held_out)
        fitted = [Ridge(alpha=penalty).fit(inputs, goals) for penalty in PENALTIES]
        errors = [np.square(model.predict(held_inputs) - held_goals).mean() for model in fitted]
        best = fitted[int(np.argmin(errors))]
        self.weights = torch.from_numpy(best.coef_).float()
        self.bias = torch.from_numpy(np.atleast_1d(best.intercept_)).float()

    def __call__(self, windows: Windows, chosen: Tensor) -> Tensor:
        """The forecasts of some windows, `(batch, horizon, forecast features)`."""
        past, _, actual = windows.at(chosen)
        series = past[..., : actual.shape[-1]].transpose(1, 2)  # (batch, features, window)
        last = series[..., -1:]
        found = (series - last) @ self.weights.T.to(series) + self.bias.to(series) + last
        return found.transpose(1, 2)


def _examples(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Windows of single features, and what comes next, both less the last step of the window."""
    features = windows.values.shape[1] - windows.known
    apart = max(1, len(windows) * features // EXAMPLES)
    past, _, actual = windows.at(torch.arange(0, len(windows), apart))
    last = past[:, -1:, :features]
    inputs = (past[..., :features] - last).transpose(1, 2).flatten(0, 1)
    return inputs.double().numpy(), (actual - last).transpose(1, 2).flatten(0, 1).double().numpy()
