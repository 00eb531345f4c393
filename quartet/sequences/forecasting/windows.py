"""Windows of the processed series: what a forecast looks back on, and what comes next.

`data/processed/sequences/` holds, for a forecast, `{train,validation,test}.safetensors` with `values` `(all steps,
features)`, float32 less `info["mean"]`, one series after another; `lengths` `(series,)`; and `context` `(series,)`, how
many leading steps of each are only looked back on. Features that are known in advance come last.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quartet.artifacts.tensor_files import load_tensors


@dataclasses.dataclass(frozen=True)
class Windows:
    """Every window of a split, on one device; values are standardised.

    Attributes:
        values: `(all steps, features)`.
        origins: the first step after what is looked back on, of each window: `(windows,)`, counted over all steps.
        series: the number of the series of each window, `(windows,)`.
        window, horizon: steps looked back on, and steps ahead.
        known: how many of the features are known in advance.
    """

    values: Tensor
    origins: Tensor
    series: Tensor
    window: int
    horizon: int
    known: int

    def __len__(self) -> int:
        return len(self.origins)

    def to(self, device: torch.device) -> "Windows":
        """Copy to another device."""
        moved = {name: getattr(self, name).to(device) for name in ("values", "origins", "series")}
        return dataclasses.replace(self, **moved)

    def at(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The past `(batch, window, features)`, what is known of the future and what is to be forecast.

        The latter are `(batch, horizon, known)` and `(batch, horizon, forecast features)`.
        """
        steps = torch.arange(-self.window, self.horizon, device=self.values.device)
        found = self.values[self.origins[chosen][:, None] + steps]
        past, future = found[:, : self.window], found[:, self.window :]
        forecast = self.values.shape[1] - self.known
        return past, future[..., forecast:], future[..., :forecast]


def load_windows(folder: Path, split: str, info: Mapping[str, Any]) -> Windows:
    """The windows of a split whose targets are all inside of it; `info` is the `info.json` or the card's data.

    Raises:
        ValueError: the file is missing or broken.
    """
    tensors = load_tensors(folder / f"{split}.safetensors")
    lengths, context = tensors["lengths"], tensors["context"]
    starts = lengths.cumsum(0) - lengths
    window, horizon = info["window"], info["horizon"]
    origins, series = [], []
    stretches = zip(starts.tolist(), lengths.tolist(), context.tolist(), strict=True)
    for number, (start, length, seen) in enumerate(stretches):
        first, last = max(seen, window), length - horizon
        origins.append(torch.arange(start + first, start + max(first, last + 1)))
        series.append(torch.full((len(origins[-1]),), number))
    values = tensors["values"] / torch.tensor(info["std"])
    return Windows(values, torch.cat(origins), torch.cat(series), window, horizon, len(info["known"]))


def joined(train: Windows, held_out: Windows) -> Windows:
    """The windows of both splits; those that cross the border between them are in the second."""
    first = len(train.values)
    return dataclasses.replace(
        train,
        values=torch.cat([train.values, held_out.values]),
        origins=torch.cat([train.origins, held_out.origins + first]),
        series=torch.cat([train.series, held_out.series]),
    )
