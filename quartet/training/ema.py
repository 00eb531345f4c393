"""Exponential moving average of the weights (Polyak & Juditsky 1992), which is validated and saved."""

import copy
from collections.abc import Callable

import torch
from torch import nn


class MovingAverage:
    """A copy of a network with averaged weights, updated after each step; with `decay` 0, the network itself.

    `copied` makes the copy.
    """

    def __init__(self, network: nn.Module, decay: float, copied: Callable[[nn.Module], nn.Module] = copy.deepcopy):
        self.decay = decay
        self.network = copied(network) if decay else network
        # Collected once: collecting them at every step would take longer than averaging them.
        self._parameters = tuple(self.network.parameters()), tuple(network.parameters())
        self._buffers = tuple(self.network.buffers()), tuple(network.buffers())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """average ← d · average + (1 − d) · weights, where d grows to `decay` during the first steps."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._parameters, 1 - decay)
        averages, buffers = self._buffers
        if buffers:
            torch._foreach_copy_(averages, buffers)
