"""Short causal convolution: each token adds a learned share of each of the few tokens before it, per feature.

Applied before attention and before the feed-forward layer, it gives both of them short strings of tokens, which
attention alone has to learn to find (So et al. 2021, "Primer"; Allen-Zhu 2025, "Canon layers").
"""

from typing import Any

import torch
from torch import Tensor, nn


class ShortConvolution(nn.Module):
    """Depthwise convolution over time with `reach` + 1 weights, the newest fixed to one; starts as the identity.

    Args:
        features: per token.
        reach: how many previous tokens are used.
    """

    def __init__(self, features: int, reach: int):
        super().__init__()
        self.shares = nn.Parameter(torch.zeros(reach, features))  # of the previous token, the one before it, …

    def forward(self, tokens: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Convolve.

        Args:
            tokens: `(batch, steps, features)`.
            before: `(batch, reach, features)`, the tokens before them; None, for zeros, at the start of a text.

        Returns:
            `(batch, steps, features)`, and the last `reach` tokens for the next piece of the text.
        """
        if before is None:
            before = tokens.new_zeros(len(tokens), *self.shares.shape)
        known = torch.cat([before, tokens], dim=1)  # (batch, reach + steps, features)
        return _Mixed.apply(known, self.shares), known[:, tokens.shape[1] :]


class _Mixed(torch.autograd.Function):
    """mixed_t = known_t + Σ_d shares_d · known_{t−d}, with a backward pass that makes no copy per distance.

    With autograd's backward pass, a training step of the convolutions takes two and a half times as long.
    """

    @staticmethod
    def forward(ctx: Any, known: Tensor, shares: Tensor) -> Tensor:
        """`(batch, reach + steps, features)` and `(reach, features)` to `(batch, steps, features)`."""
        ctx.save_for_backward(known, shares)
        reach = len(shares)
        mixed = known[:, reach:].clone()
        for distance, share in enumerate(shares, start=1):
            mixed.addcmul_(_earlier(known, distance, reach), share)
        return mixed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of both arguments."""
        known, shares = ctx.saved_tensors
        reach = len(shares)
        of_known, of_shares = torch.zeros_like(known), torch.zeros_like(shares)
        of_known[:, reach:] = gradient
        for distance, share in enumerate(shares, start=1):
            _earlier(of_known, distance, reach).addcmul_(gradient, share)
            of_shares[distance - 1] = (gradient * _earlier(known, distance, reach)).sum(dim=(0, 1))
        return of_known, of_shares


def _earlier(known: Tensor, distance: int, reach: int) -> Tensor:
    """A view of the tokens `distance` before each token except the first `reach`."""
    return known[:, reach - distance : known.shape[1] - distance]
