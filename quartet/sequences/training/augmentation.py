"""Random changes of a batch of time series on the device, each switched off by 0.

Surveyed by Iwana and Uchida (2021), "An empirical survey of data augmentation for time series classification"; mix-up
is of Zhang et al. (2018). Series are standardised `(batch, steps, features)`, zero after their `lengths`, which stay.
"""

import math

import torch
from torch import Tensor

from quartet.sequences.settings import SeriesAugmentation


def augment_series(series: Tensor, lengths: Tensor, ranges: SeriesAugmentation, generator: torch.Generator) -> Tensor:
    """Jitter, scale, shift, warp and cut each series by its own random amounts."""
    inside = (torch.arange(series.shape[1], device=series.device) < lengths[:, None])[..., None]
    if ranges.shift or ranges.time_warp:
        series = _resampled(series, _places(series, lengths, ranges, generator), lengths)
    if ranges.scaling:
        series = series * (1 + ranges.scaling * _uniform((len(series), 1, series.shape[2]), generator))
    if ranges.jitter:
        noise = torch.empty_like(series).normal_(0.0, ranges.jitter, generator=generator)
        series = series + noise
    if ranges.cutout:
        series = series * ~_stretches(series, lengths, ranges.cutout, generator)
    return series * inside


def mixing(batch: int, largest: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The partner of each example, and its share in it, up to `largest`: `(batch,)` each."""
    device = generator.device
    partners = torch.randperm(batch, generator=generator, device=device)
    return partners, largest * torch.rand(batch, generator=generator, device=device)


def mixed(values: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """Each example of `values`, `(batch, …)`, with its partner's share."""
    shares = shares.view(-1, *[1] * (values.dim() - 1)).to(values)
    return (1 - shares) * values + shares * values[partners]


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random numbers from -1 to 1."""
    return torch.rand(shape, generator=generator, device=generator.device) * 2 - 1


def _places(series: Tensor, lengths: Tensor, ranges: SeriesAugmentation, generator: torch.Generator) -> Tensor:
    """Where each step is read, in steps of the series: `(batch, steps)`; between the first and the last step."""
    batch, steps = series.shape[:2]
    last = (lengths - 1).clamp(min=1)[:, None].to(series.dtype)
    time = torch.arange(steps, device=series.device) / last  # 0 to 1 within a series
    if ranges.time_warp:
        # A wave of one, two or three half periods, whose slope stays below 1, so that no step overtakes another.
        waves = torch.randint(1, 4, (batch, 1), generator=generator, device=series.device)
        height = ranges.time_warp * _uniform((batch, 1), generator) / (math.pi * waves)
        time = time + height * torch.sin(math.pi * waves * time)
    if ranges.shift:
        time = time + ranges.shift * _uniform((batch, 1), generator)
    return time.clamp(0, 1) * last


def _resampled(series: Tensor, places: Tensor, lengths: Tensor) -> Tensor:
    """The series read at fractional `places`, by linear interpolation."""
    before = places.floor().long()
    after = torch.minimum(before + 1, (lengths - 1)[:, None])
    share = (places - before)[..., None]
    index = torch.arange(len(series), device=series.device)[:, None]
    return series[index, before] * (1 - share) + series[index, after] * share


def _stretches(series: Tensor, lengths: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A random stretch of each series, `share` of its steps: a mask `(batch, steps, 1)`."""
    cut = lengths[:, None] * share
    start = torch.rand(len(series), 1, generator=generator, device=series.device) * (lengths[:, None] - cut)
    steps = torch.arange(series.shape[1], device=series.device)
    return ((steps >= start) & (steps < start + cut))[..., None]
