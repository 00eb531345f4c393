"""Score forecasts of every window of the test stretch ("rolling origin"), beside a seasonal and a linear forecast."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from quartet.artifacts.tensor_files import load_tensors
from quartet.artifacts.writing import write_table
from quartet.classification.confusion_files import write_confusion
from quartet.reporting.drawing.figures import line_figure, save_figure
from quartet.reporting.sequence_figures import Fan, fan_figure
from quartet.sequences.forecasting.baselines import LinearForecast, seasonal_naive
from quartet.sequences.forecasting.windows import Windows, load_windows
from quartet.sequences.networks.forecaster import Forecaster, pinball
from quartet.sequences.number_scores import QUINTILES, quintiles

FANS = 6  # forecasts that are drawn


class Errors:
    """Sums of the errors of a forecast over windows, in standardised units.

    Args:
        std: of each forecast feature.
        mean: of each, for errors in per cent.
        scale: the unit of `mase`, `(series, features)`, in the features' own units.
    """

    def __init__(self, std: Tensor, mean: Tensor, scale: Tensor, horizon: int):
        self.std, self.mean, self.scale = std, mean, scale
        self.absolute = torch.zeros(horizon, len(std), dtype=torch.float64)
        self.squared = torch.zeros_like(self.absolute)
        self.percent = torch.zeros_like(self.absolute)
        self.scaled = torch.zeros_like(scale)
        self.windows = torch.zeros(len(scale), dtype=torch.float64)

    def add(self, forecast: Tensor, actual: Tensor, series: Tensor) -> None:
        """Count forecasts `(batch, horizon, features)` of windows of these series `(batch,)`."""
        found, truth = forecast.cpu().double(), actual.cpu().double()
        errors = (found - truth).abs()
        self.absolute += errors.sum(dim=0)
        self.squared += errors.square().sum(dim=0)
        sizes = (found * self.std + self.mean).abs() + (truth * self.std + self.mean).abs()
        self.percent += (200 * errors * self.std / sizes.clamp(min=1e-12)).sum(dim=0)
        each = errors.mean(dim=1) * self.std  # (batch, features)
        self.scaled.index_add_(0, series.cpu(), each)
        self.windows.index_add_(0, series.cpu(), torch.ones(len(series), dtype=torch.float64))

    def scores(self) -> dict[str, float]:
        """Means over windows, steps ahead and features; `mase` also over series."""
        count = self.windows.sum()
        squared = self.squared.mean(dim=0) / count
        absolute = self.absolute.mean(dim=0) / count
        mase = self.scaled / self.windows[:, None] / self.scale
        return {
            "mase": mase[torch.isfinite(mase)].mean().item(),
            "smape": (self.percent.mean() / count).item(),
            "mae": (absolute * self.std).mean().item(),
            "mse": (squared * self.std.square()).mean().item(),
            "rmse": (squared * self.std.square()).mean().sqrt().item(),
            "mae_standardised": absolute.mean().item(),
            "mse_standardised": squared.mean().item(),
        }

    def by_step(self) -> list[float]:
        """The mean absolute error of each step ahead, in deviations of the features."""
        return (self.absolute.mean(dim=1) / self.windows.sum()).tolist()


@dataclasses.dataclass
class Quantiles:
    """Sums of the quantiles' loss, and how often the truth is between the lowest and the highest."""

    loss: float = 0.0
    inside: int = 0
    count: int = 0

    def add(self, outputs: Tensor, actual: Tensor) -> None:
        """Count outputs `(batch, horizon, features, 1 + quantiles)`."""
        self.loss += pinball(outputs, actual).double().sum().item()
        self.inside += int(((actual >= outputs[..., 1]) & (actual <= outputs[..., -1])).sum())
        self.count += actual.numel()

    def scores(self) -> dict[str, float]:
        """`pinball_loss` in deviations, and `coverage` of the interval from the 10 % to the 90 % quantile."""
        return {"pinball_loss": self.loss / self.count, "coverage": self.inside / self.count}


@torch.no_grad()
def report_forecast(
    folder: Path,
    processed: Path,
    network: Forecaster,
    data: Mapping[str, Any],
    *,
    spread: float = 1.0,
    batch_size: int,
    device: torch.device,
) -> dict[str, float]:
    """Scores of a forecaster and of its baselines on the test stretch; writes pictures and tables into `folder`.

    `spread` is that of the model's calibration; `coverage_uncalibrated` is the coverage without it.
    """
    windows = load_windows(processed, "test", data).to(device)
    scale = load_tensors(processed / "test.safetensors")["scale"]
    features = windows.values.shape[1] - windows.known
    std, mean = (torch.tensor(data[name][:features], dtype=torch.float64) for name in ("std", "mean"))
    linear, season = LinearForecast(processed, dict(data)), data["season"]
    names = ("forecaster", "seasonal_naive", "linear")
    errors = {name: Errors(std, mean, scale[:, :features].double(), windows.horizon) for name in names}
    bands, raw, fifths = Quantiles(), Quantiles(), Fifths(processed, data, features)
    for part in torch.arange(len(windows), device=device).split(batch_size):
        past, ahead, actual = windows.at(part)
        outputs = network.forecast(past, ahead, spread)
        bands.add(outputs, actual)
        raw.add(network.forecast(past, ahead), actual)
        fifths.add(outputs[..., 0], actual)
        forecasts = (outputs[..., 0], seasonal_naive(windows, part, season), linear(windows, part))
        for name, found in zip(names, forecasts, strict=True):
            errors[name].add(found, actual, windows.series[part])
    scores = {name: found.scores() for name, found in errors.items()}
    baselines = {
        f"baseline_{name}_{score}": scores[name][score]
        for name in ("seasonal_naive", "linear")
        for score in ("mase", "mae", "mse_standardised")
    }
    _report_steps(folder, errors)
    _report_fans(folder, network, windows, data, spread)
    beaten = [name for name in ("seasonal_naive", "linear") if scores["forecaster"]["mase"] >= scores[name]["mase"]]
    judgement = f"does not beat {' and '.join(beaten).replace('_', ' ')}" if beaten else "beats both baselines"
    fifths.write(folder, f"Fifths of the training values; MASE {scores['forecaster']['mase']:.3f} {judgement}")
    print(f"the forecast's MASE of {scores['forecaster']['mase']:.3f} {judgement}", flush=True)
    coverage = {"coverage_uncalibrated": raw.scores()["coverage"]}
    return {**scores["forecaster"], **bands.scores(), **coverage, **baselines, "test_windows": len(windows)}


class Fifths:
    """Truth and forecast by the quintiles of each feature's training values."""

    def __init__(self, processed: Path, data: Mapping[str, Any], features: int):
        values = load_windows(processed, "train", data).values[:, :features].numpy()
        self.edges = np.quantile(values, np.linspace(0, 1, 6)[1:-1], axis=0)  # (4, features)
        self.counts = np.zeros((5, 5), np.int64)

    def add(self, forecast: Tensor, actual: Tensor) -> None:
        """Count `(batch, horizon, features)`."""
        for feature in range(actual.shape[-1]):
            truth, found = (
                quintiles(part[..., feature].flatten().cpu().numpy(), self.edges[:, feature])
                for part in (actual, forecast)
            )
            np.add.at(self.counts, (truth, found), 1)

    def write(self, folder: Path, title: str) -> None:
        """Write the confusion files; counts are scaled down to at most 100,000 rows."""
        counts = np.ceil(self.counts * min(1.0, 100_000 / self.counts.sum())).astype(int)
        truth, found = (np.repeat(places.ravel(), counts.ravel()) for places in np.indices((5, 5)))
        write_confusion(folder, truth, found, QUINTILES, title)


def _report_steps(folder: Path, errors: Mapping[str, Errors]) -> None:
    lines = {name.replace("_", " "): found.by_step() for name, found in errors.items()}
    ahead = list(range(1, len(next(iter(lines.values()))) + 1))
    write_table(folder / "evaluation/error_by_step.csv", pd.DataFrame({"step_ahead": ahead, **lines}).round(6))
    figure = line_figure(
        {name: (ahead, values) for name, values in lines.items()},
        title="Error by step ahead",
        x="steps ahead",
        y="mean absolute error, deviations",
    )
    save_figure(figure, folder / "evaluation/error_by_step.png")


def _report_fans(folder: Path, network: Forecaster, windows: Windows, data: Mapping[str, Any], spread: float) -> None:
    """Forecasts from a few origins of the test stretch, of each feature in turn."""
    features = windows.values.shape[1] - windows.known
    chosen = torch.linspace(0, len(windows) - 1, min(FANS, max(len(windows), features))).round().long()
    past, ahead, actual = windows.at(chosen.to(windows.values.device))
    outputs = network.forecast(past, ahead, spread)
    fans = []
    for row in range(len(chosen)):
        feature = row % features
        std, mean = data["std"][feature], data["mean"][feature]
        seen = past[row, -3 * windows.horizon :, feature].cpu().numpy() * std + mean
        low, middle, high = (outputs[row, :, feature, place].cpu().numpy() * std + mean for place in (1, 2, 3))
        truth = actual[row, :, feature].cpu().numpy() * std + mean
        fans.append(Fan(data["feature_names"][feature], seen, truth, low, middle, high))
    save_figure(fan_figure(fans), folder / "evaluation/forecasts.png")
