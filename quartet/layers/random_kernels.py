"""Fixed convolution kernels of many lengths, pooled over whole series: features for a linear classifier.

Nothing here is trained. `DilatedKernels` follows MultiRocket (Tan et al. 2022) with the kernels of MiniRocket (Dempster
et al. 2021); `CompetingKernels` follows HYDRA (Dempster et al. 2023). Both read a series and its differences from step
to step. Dilation spreads the nine weights of a kernel, so that it sees up to the whole series. Padding is never pooled.
"""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = 9  # weights of a kernel
REACH = TAPS - 1


def views(series: Tensor, lengths: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """A series `(batch, features, steps)` and its differences, zero after their ends, with their lengths `(batch,)`."""
    yield series, lengths
    shorter = (lengths - 1).clamp(min=1)
    differences = F.pad(series.diff(dim=-1), (0, 1))
    yield differences * inside(lengths - 1, series.shape[-1])[:, None], shorter


def inside(lengths: Tensor, steps: int) -> Tensor:
    """Which of `steps` steps belong to each series: `(batch, steps)`."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def dilations(steps: int, count: int | None = None) -> list[int]:
    """Distances between the weights of a kernel, up to the length of the series: powers of two, or about `count`."""
    largest = max(0.0, math.log2(max(1, steps - 1) / REACH))
    exponents = range(int(largest) + 1) if count is None else torch.linspace(0, largest, count).tolist()
    return sorted({int(2**exponent) for exponent in exponents})


class DilatedKernels(nn.Module):
    """MiniRocket's 84 kernels at many dilations and thresholds, each pooled in three ways.

    A kernel has six weights of -1 and three of 2. What it gives at each step is compared with thresholds, which are
    quantiles of what it gives on training series. Pooled are the share of steps above the threshold, their mean, and
    their mean place in the series.

    Args:
        features: numbers per step; each kernel adds up a random subset of them.
        steps: of the longest training series.
        dilated: how many dilations, and thresholds of one dilation, there are together.
        seed: of the random choices.
    """

    weights: Tensor  # (kernels, 1, taps)
    channels: Tensor  # (views, dilations, kernels, features)
    thresholds: Tensor  # (views, dilations, kernels, thresholds)

    def __init__(self, features: int, steps: int, *, dilated: int = 23, seed: int = 0):
        super().__init__()
        self.dilations, self.seed = dilations(steps, dilated), seed
        places = list(itertools.combinations(range(TAPS), 3))
        weights = torch.full((len(places), 1, TAPS), -1.0)
        for kernel, place in enumerate(places):
            weights[kernel, 0, list(place)] = 2.0
        self.register_buffer("weights", weights, persistent=False)
        thresholds = max(1, round(dilated / len(self.dilations)))
        generator = torch.Generator().manual_seed(seed)
        shape = (2, len(self.dilations), len(places))
        self.register_buffer("channels", _random_subsets(features, shape, generator))
        self.register_buffer("thresholds", torch.zeros(*shape, thresholds))
        self.columns = self.thresholds.numel() * 3

    @torch.no_grad()
    def fit(self, series: Tensor, lengths: Tensor, examples: int = 16) -> None:
        """Take the thresholds from training series `(batch, features, steps)`, of which each sees some `examples`."""
        generator = torch.Generator().manual_seed(self.seed)
        count = self.thresholds.shape[-1]
        for view, (values, ends) in enumerate(views(series, lengths)):
            for place, dilation in enumerate(self.dilations):
                chosen = torch.randint(len(values), (min(len(values), examples),), generator=generator)
                found = self._convolved(values[chosen], view, place, dilation).transpose(0, 1)
                found = found[:, inside(ends[chosen], values.shape[-1])]  # (kernels, steps of all examples)
                some = torch.randperm(found.shape[1], generator=generator)[:4096]
                golden = (torch.arange(1, count + 1) + torch.rand(1, generator=generator)) * 0.6180339887 % 1
                quantiles = torch.quantile(found[:, some], golden.to(found), dim=1)
                self.thresholds[view, place] = quantiles.T

    def forward(self, series: Tensor, lengths: Tensor) -> Tensor:
        """Series `(batch, features, steps)`, zero after their `lengths`, to `(batch, columns)`."""
        pooled: list[Tensor] = []
        for view, (values, ends) in enumerate(views(series, lengths)):
            steps = torch.arange(values.shape[-1], device=values.device, dtype=values.dtype)
            within, length = inside(ends, values.shape[-1])[:, None], ends[:, None].to(values)
            for place, dilation in enumerate(self.dilations):
                found = self._convolved(values, view, place, dilation)
                for thresholds in self.thresholds[view, place].unbind(-1):
                    above = (found > thresholds[:, None]) & within
                    count = above.sum(-1)
                    some = count.clamp(min=1)
                    middle = (above * steps).sum(-1) / some / length
                    pooled += [count / length, (found * above).sum(-1) / some, middle.where(count > 0, -1)]
        return torch.cat(pooled, dim=1)

    def _convolved(self, series: Tensor, view: int, place: int, dilation: int) -> Tensor:
        weights = self.weights * self.channels[view, place, :, :, None]
        return F.conv1d(series, weights.to(series), dilation=dilation, padding=REACH // 2 * dilation)


class CompetingKernels(nn.Module):
    """HYDRA's groups of random kernels: at each step, the best and the worst kernel of a group win.

    Counted are, for each kernel, what it gives where it is the best, and how often it is the worst; of both, the square
    root, since a few kernels win most steps.

    Args:
        features: numbers per step; each group adds up a random choice of them.
        steps: of the longest training series.
        groups: of kernels, for the series and for its differences each.
        kernels: of a group.
        seed: of the kernels.
    """

    weights: Tensor  # (views, dilations, groups · kernels, taps)
    channels: Tensor  # (views, dilations, groups, features that are added up)

    def __init__(self, features: int, steps: int, *, groups: int = 32, kernels: int = 8, seed: int = 0):
        super().__init__()
        self.dilations, self.groups, self.kernels = dilations(steps), groups, kernels
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(2, len(self.dilations), groups * kernels, TAPS, generator=generator)
        weights -= weights.mean(dim=-1, keepdim=True)
        self.register_buffer("weights", weights / weights.abs().sum(dim=-1, keepdim=True))
        summed = min(max(features // 2, 1), 8)
        chosen = torch.randint(features, (2, len(self.dilations), groups, summed), generator=generator)
        self.register_buffer("channels", chosen)
        self.columns = 2 * 2 * len(self.dilations) * groups * kernels

    def forward(self, series: Tensor, lengths: Tensor) -> Tensor:
        """Series `(batch, features, steps)`, zero after their `lengths`, to `(batch, columns)`."""
        counted: list[Tensor] = []
        for view, (values, ends) in enumerate(views(series, lengths)):
            within = inside(ends, values.shape[-1])[:, None].to(values)  # (batch, 1, steps)
            for place, dilation in enumerate(self.dilations):
                inputs = values[:, self.channels[view, place]].sum(dim=2)  # (batch, groups, steps)
                weights, padding = self.weights[view, place, :, None].to(values), REACH // 2 * dilation
                found = F.conv1d(inputs, weights, dilation=dilation, padding=padding, groups=self.groups)
                found = found.unflatten(1, (self.groups, self.kernels))  # (batch, groups, kernels, steps)
                empty = torch.zeros(found.shape[:3], device=values.device, dtype=values.dtype)
                best, winner = found.max(dim=2)
                loser = found.min(dim=2).indices  # argmin takes 17 times as long
                won = empty.scatter_add(2, winner, best * within).clamp(min=0)
                lost = empty.scatter_add(2, loser, within.expand(-1, self.groups, -1))
                counted += [won.flatten(1), lost.flatten(1)]
        return torch.cat(counted, dim=1).sqrt()


def _random_subsets(features: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Ones for the one to nine features that each kernel adds up, zeros for the others: `(*shape, features)`."""
    sizes = torch.randint(min(features, TAPS), (*shape, 1), generator=generator) + 1
    ranks = torch.rand(*shape, features, generator=generator).argsort(dim=-1).argsort(dim=-1)
    return (ranks < sizes).float()
