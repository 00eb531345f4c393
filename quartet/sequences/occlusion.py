"""Where in a series the network looked: how its answer changes when a stretch is hidden (Zeiler and Fergus 2014)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

STRETCHES = 20  # places at which a stretch of a tenth is hidden


@torch.no_grad()
def occlusion(answer: Callable[[Tensor], Tensor], series: Tensor) -> Tensor:
    """How much hiding each step changes the answer: `(steps,)`, the mean over the stretches that hold the step.

    Args:
        answer: takes series `(batch, steps, features)` and gives one number each, `(batch,)`.
        series: one, `(steps, features)`; a hidden stretch is its mean.
    """
    steps = len(series)
    width = max(1, steps // 10)
    starts = torch.linspace(0, steps - width, min(STRETCHES, steps - width + 1), device=series.device).round().long()
    places = torch.arange(steps, device=series.device)
    hidden = (places >= starts[:, None]) & (places < starts[:, None] + width)  # (stretches, steps)
    occluded = torch.where(hidden[..., None], series.mean(dim=0), series)
    changes = (answer(series[None]) - answer(occluded)).abs()
    return (changes[:, None] * hidden).sum(dim=0) / hidden.sum(dim=0).clamp(min=1)


def nearest(series: Tensor, others: list[Tensor], points: int = 128) -> int:
    """The index of the series most like one, by Euclidean distance; all are stretched to the same length."""
    stretched = torch.stack([_stretched(other, points) for other in others])
    return int((stretched - _stretched(series, points)).flatten(1).norm(dim=1).argmin())


def _stretched(series: Tensor, points: int) -> Tensor:
    """A series `(steps, features)` at `points` equal distances."""
    return F.interpolate(series.T[None], points, mode="linear", align_corners=True)[0].T
