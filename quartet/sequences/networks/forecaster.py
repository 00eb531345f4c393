"""Forecasters: from a window of a series to the steps that follow, with quantiles.

Each feature is forecast from its own past by the same weights ("channel independence", Nie et al. 2023). The window is
standardised by its own mean and deviation, and so is what comes next (RevIN, Kim et al. 2022). Between them is a linear
map (RLinear, Li et al. 2023) or the last state of a recurrent network.
"""

import math

import torch
from torch import Tensor, nn

from quartet.layers.recurrent_cells import CELLS

QUANTILES = (0.1, 0.5, 0.9)
OUTPUTS = 1 + len(QUANTILES)  # the mean, then the quantiles


class Forecaster(nn.Module):
    """Mean and quantiles of each step ahead.

    Args:
        window, horizon: steps that are looked back on, and steps ahead.
        features: that are forecast.
        known: features that are known in advance; a small network of them is added to the forecast.
        cell: `rnn`, `lstm`, `gru` or `mingru`; None for a linear map of the window.
        hidden_size, layers, dropout: of the recurrent network.
    """

    def __init__(
        self,
        *,
        window: int,
        horizon: int,
        features: int,
        known: int = 0,
        cell: str | None = None,
        hidden_size: int = 0,
        layers: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.window, self.horizon, self.features, self.known = window, horizon, features, known
        self.recurrent = None
        if cell:
            self.recurrent = CELLS[cell](
                1, hidden_size, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
            )
        self.head = nn.Linear(hidden_size if cell else window, horizon * OUTPUTS)
        self.from_known = (
            nn.Sequential(nn.Linear(known, 32), nn.GELU(), nn.Linear(32, features * OUTPUTS)) if known else None
        )

    def forward(self, past: Tensor, ahead: Tensor) -> Tensor:
        """Standardised windows to `(batch, horizon, features, 1 + quantiles)`: the mean, then `QUANTILES`.

        Args:
            past: `(batch, window, features + known)`.
            ahead: what is known in advance, `(batch, horizon, known)`.
        """
        series = past[..., : self.features].transpose(1, 2)  # (batch, features, window)
        mean, std = series.mean(dim=-1, keepdim=True), series.std(dim=-1, keepdim=True, correction=0) + 1e-5
        normal = (series - mean) / std
        if self.recurrent is None:
            state = normal
        else:
            states, _ = self.recurrent(normal.reshape(-1, self.window, 1))
            state = states[:, -1].unflatten(0, (len(past), self.features))
        outputs = self.head(state).unflatten(-1, (self.horizon, OUTPUTS))  # (batch, features, horizon, outputs)
        if self.from_known is not None:
            outputs = outputs + self.from_known(ahead).unflatten(-1, (self.features, OUTPUTS)).transpose(1, 2)
        outputs = outputs * std[..., None] + mean[..., None]
        return outputs.transpose(1, 2)

    def forecast(self, past: Tensor, ahead: Tensor, spread: float = 1.0) -> Tensor:
        """As `forward`, with the quantiles in ascending order: each has weights of its own, so that they may cross.

        The outer quantiles are moved to `spread` times their distance from the median (`band_spread`).
        """
        outputs = self(past, ahead)
        quantiles = outputs[..., 1:].sort(dim=-1).values
        median = quantiles[..., len(QUANTILES) // 2, None]
        return torch.cat([outputs[..., :1], median + spread * (quantiles - median)], dim=-1)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two windows of zeros."""
        device = self.head.weight.device
        past = torch.zeros(2, self.window, self.features + self.known, device=device)
        return past, torch.zeros(2, self.horizon, self.known, device=device)


def band_spread(outputs: Tensor, actual: Tensor) -> float:
    """How much wider the band between the outer quantiles must be to hold the share that it promises.

    A split conformal prediction (Lei et al. 2018) whose score is the distance from the median as a share of the band's
    half on that side. `outputs` is `(…, 1 + quantiles)` of examples that were not trained on, `actual` `(…)`.
    """
    low, median, high = outputs[..., 1:].cpu().double().unbind(dim=-1)
    error = actual.cpu().double() - median
    half = torch.where(error < 0, median - low, high - median)
    scores = (error.abs() / half.clamp(min=1e-9)).flatten().sort().values
    place = math.ceil((QUANTILES[-1] - QUANTILES[0]) * (len(scores) + 1)) - 1
    return round(scores[min(place, len(scores) - 1)].item(), 6)


def pinball(outputs: Tensor, actual: Tensor) -> Tensor:
    """The quantile loss `(…)`, the mean over `QUANTILES`: `outputs` is `(…, 1 + quantiles)`, `actual` `(…)`."""
    levels = torch.tensor(QUANTILES, device=outputs.device)
    over = actual[..., None] - outputs[..., 1:]
    return torch.maximum(levels * over, (levels - 1) * over).mean(dim=-1)
