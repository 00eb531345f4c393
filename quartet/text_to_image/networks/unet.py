"""The UNet (Ronneberger et al. 2015; as a denoiser: Ho et al. 2020): downsampling, then upsampling with skips.

Time and caption modulate every residual block; at the coarsest level the picture also attends to the caption's words.
"""

import functools
import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.layers.attention import MultiHeadAttention
from quartet.layers.positional_encoding import sinusoidal


class UNet(nn.Module):
    """Predicts, from a noisy picture, a time and a caption, a tensor of the picture's shape.

    A picture of more than 16 pixels is split into square patches whose pixels become channels, if `patch_side` finds a
    size for them. The finest level, which needs most of the work, thus gets smaller. The side is halved while it is
    even and above 4, at most three times; the channels are doubled once.

    Args:
        channels, size: of the pictures, `(batch, channels, size, size)`.
        width: channels of the finest level, divisible by 8 and by `groups`.
        text_width: features of the caption's words.
        dropout: in the residual blocks.
        groups: groups of the group normalisation (Wu & He 2018).
    """

    def __init__(self, *, channels: int, size: int, width: int, text_width: int, dropout: float, groups: int):
        super().__init__()
        signal = 4 * width
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, signal), nn.SiLU(), nn.Linear(signal, signal))
        self.caption = nn.Linear(text_width, signal)
        self.patch = patch_side(size)
        self.enter = nn.Conv2d(channels * self.patch**2, width, 3, padding=1)

        widths, side = [width], size // self.patch
        while side % 2 == 0 and side > 4 and len(widths) < 4:
            widths, side = [*widths, 2 * width], side // 2
        block = functools.partial(ResidualBlock, signal=signal, dropout=dropout, groups=groups)
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        for fine, coarse in itertools.pairwise(widths):
            self.down.append(block(fine, fine))
            self.shrink.append(nn.Conv2d(fine, coarse, 3, stride=2, padding=1))
        self.middle_before = block(widths[-1], widths[-1])
        self.middle_attention = CaptionAttention(widths[-1], text_width, groups)
        self.middle_after = block(widths[-1], widths[-1])
        self.grow = nn.ModuleList()
        self.up = nn.ModuleList()
        for fine, coarse in reversed(list(itertools.pairwise(widths))):
            self.grow.append(nn.Conv2d(coarse, fine, 3, padding=1))
            self.up.append(block(2 * fine, fine))
        self.leave_norm = nn.GroupNorm(groups, width)
        self.leave = nn.Conv2d(width, channels * self.patch**2, 3, padding=1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pictures: Tensor, times: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Denoise.

        Args:
            pictures: `(batch, channels, size, size)`, noisy.
            times: `(batch,)` in [0, 1].
            words: `(batch, words, text width)`; the first one represents the whole caption.
            mask: `(batch, words)`, True at real words; or numbers that are added to the scores of the attention.

        Returns:
            `(batch, channels, size, size)`.
        """
        signal = self.time(sinusoidal(1000 * times, self.width)) + self.caption(words[:, 0])  # (batch, 4 × width)
        hidden = self.enter(F.pixel_unshuffle(pictures, self.patch))
        skips = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            hidden = block(hidden, signal)
            skips.append(hidden)
            hidden = shrink(hidden)  # half the side
        hidden = self.middle_before(hidden, signal)
        hidden = self.middle_attention(hidden, words, mask)
        hidden = self.middle_after(hidden, signal)
        for grow, block in zip(self.grow, self.up, strict=True):
            hidden = grow(F.interpolate(hidden, scale_factor=2.0, mode="nearest"))  # twice the side
            hidden = block(torch.cat([hidden, skips.pop()], dim=1), signal)
        return F.pixel_shuffle(self.leave(F.silu(self.leave_norm(hidden))), self.patch)


def patch_side(size: int) -> int:
    """The patch side in pixels that gives 8 to 16 patches per row; 1 if no divisor of `size` does."""
    return next((patch for patch in range(1, size) if size % patch == 0 and 8 <= size // patch <= 16), 1)


class ResidualBlock(nn.Module):
    """Two normalised convolutions; between them, time and caption scale and shift the features (FiLM)."""

    def __init__(self, inputs: int, outputs: int, *, signal: int, dropout: float, groups: int):
        super().__init__()
        self.first_norm = nn.GroupNorm(groups, inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(signal, 2 * outputs)
        self.second_norm = nn.GroupNorm(groups, outputs)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, maps: Tensor, signal: Tensor) -> Tensor:
        """`(batch, inputs, side, side)` and `(batch, signal)` to `(batch, outputs, side, side)`."""
        hidden = self.first(F.silu(self.first_norm(maps)))
        scale, shift = self.modulation(F.silu(signal))[:, :, None, None].chunk(2, dim=1)  # (batch, outputs, 1, 1)
        hidden = self.second_norm(hidden) * (1 + scale) + shift
        return self.skip(maps) + self.second(self.dropout(F.silu(hidden)))


class CaptionAttention(nn.Module):
    """Every pixel attends to the words of the caption."""

    def __init__(self, channels: int, text_width: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.attention = MultiHeadAttention(channels, heads=4, context_features=text_width)

    def forward(self, maps: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """`(batch, channels, side, side)` to the same shape; `words` and `mask` as in `UNet`."""
        pixels = self.norm(maps).flatten(2).transpose(1, 2)  # (batch, pixels, channels)
        attended = self.attention(pixels, words, mask).transpose(1, 2)  # (batch, channels, pixels)
        return maps + attended.view_as(maps)
