"""Short causal convolution: a token takes a share of each of the few tokens before it, feature by feature.

Before attention and before the feed-forward layer it hands both of them short strings of tokens, which attention alone
has to learn to find (So et al. 2021, "Primer"; Allen-Zhu 2025, "Canon layers").
"""

import torch
from torch import Tensor, nn


class ShortConvolution(nn.Module):
    """Depthwise, over time, with a kernel of `reach` + 1 whose newest weight is one; begins as the identity.

    Args:
        features: per token.
        reach: how many tokens before a token matter.
    """

    def __init__(self, features: int, reach: int):
        super().__init__()
        self.shares = nn.Parameter(torch.zeros(reach, features))  # of the last token, the one before it, …

    def forward(self, tokens: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mix.

        Args:
            tokens: `(batch, steps, features)`.
            before: `(batch, reach, features)`, those before them; zeros at the start of a text.

        Returns:
            `(batch, steps, features)`, and the last `reach` tokens for the next piece of the text.
        """
        (reach, features), steps = self.shares.shape, tokens.shape[1]
        if before is None:
            before = tokens.new_zeros(len(tokens), reach, features)
        known, mixed = torch.cat([before, tokens], dim=1), tokens  # (batch, reach + steps, features)
        for distance in range(1, reach + 1):
            start = reach - distance
            mixed = mixed + known[:, start : start + steps] * self.shares[distance - 1]
        return mixed, known[:, steps:]
