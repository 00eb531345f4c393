"""Positional encodings: they give attention the position of each token, which it does not see by itself."""

import torch
from torch import Tensor, nn


def sinusoidal(positions: Tensor, features: int, longest: float = 10_000.0) -> Tensor:
    """Sines and cosines of geometrically growing wavelengths (Vaswani et al. 2017, section 3.5).

    Args:
        positions: `(…)` positions in a sequence, or times.
        features: even number of features.
        longest: the longest wavelength divided by 2π.

    Returns:
        `(…, features)`: sines, then cosines.
    """
    half = features // 2
    exponents = torch.arange(half, device=positions.device) / half
    angles = positions[..., None].float() * longest**-exponents  # (…, features / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class AddedPosition(nn.Module):
    """Adds a vector for the position to each token: `sinusoidal` (fixed) or `learned`."""

    fixed: Tensor  # (context, features), only if not learned

    def __init__(self, kind: str, context: int, features: int):
        super().__init__()
        self.learned = nn.Embedding(context, features) if kind == "learned" else None
        if self.learned is not None:
            nn.init.normal_(self.learned.weight, std=0.02)
        else:
            self.register_buffer("fixed", sinusoidal(torch.arange(context), features), persistent=False)

    @property
    def table(self) -> Tensor:
        """The vector of each position, `(context, features)`."""
        return self.fixed if self.learned is None else self.learned.weight

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """`(batch, steps, features)` to the same shape; `start` is the first position, and all must fit the context."""
        places = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        return tokens + (self.fixed[places] if self.learned is None else self.learned(places))


class RotaryPosition(nn.Module):
    """Rotates pairs of query and key features by an angle that grows with the position (Su et al. 2021).

    The product of a rotated query and key then depends only on their distance.
    """

    sine: Tensor  # (context, head features / 2)
    cosine: Tensor

    def __init__(self, context: int, head_features: int):
        super().__init__()
        table = sinusoidal(torch.arange(context), head_features)  # (context, head features)
        sine, cosine = table.chunk(2, dim=-1)
        self.register_buffer("sine", sine, persistent=False)
        self.register_buffer("cosine", cosine, persistent=False)

    def forward(self, heads: Tensor, start: int = 0) -> Tensor:
        """`(…, steps, head features)` queries or keys to the same shape; `start` is the first position."""
        places = slice(start, start + heads.shape[-2])
        sine, cosine = self.sine[places], self.cosine[places]
        first, second = heads.chunk(2, dim=-1)
        turned = torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
        return turned.to(heads.dtype)


def positions(kind: str, context: int, features: int, heads: int) -> tuple[AddedPosition | None, RotaryPosition | None]:
    """The modules of a positional encoding (`rotary`, `sinusoidal`, `learned` or `none`).

    Returns:
        The module that is added to the tokens, and the one that rotates queries and keys; at most one is not None.
    """
    added = AddedPosition(kind, context, features) if kind in ("sinusoidal", "learned") else None
    return added, RotaryPosition(context, features // heads) if kind == "rotary" else None
