"""The matcher: how well a picture and a caption go together, which chooses among pictures that were drawn.

Ramesh et al. 2021 rank what they draw by CLIP, a network that was trained to match pictures with captions. This one is
smaller: it tells from a picture which words its caption holds.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.networks.unet import patch_side


class Matcher(nn.Module):
    """From a picture to the probability of every word of the vocabulary that it is in the caption.

    Args:
        channels, size: of the pictures, which enter in the patches of the UNet.
        vocabulary_size: number of word ids; the first two are padding and the mark that starts every caption.
        width: channels of the finer of two levels, divisible by 8.
    """

    def __init__(self, *, channels: int, size: int, vocabulary_size: int, width: int):
        super().__init__()
        self.picture_shape = (channels, size, size)
        self.patch = patch_side(size)
        self.layers = nn.Sequential(
            *_convolution(channels * self.patch**2, width),
            *_convolution(width, width),
            *_convolution(width, 2 * width, stride=2),
            *_convolution(2 * width, 2 * width),
        )
        self.words = nn.Linear(2 * width, vocabulary_size)

    def forward(self, pictures: Tensor) -> Tensor:
        """`(batch, channels, size, size)` in [-1, 1] to `(batch, vocabulary)` log-odds."""
        return self.words(self.layers(F.pixel_unshuffle(pictures, self.patch)).mean(dim=(2, 3)))

    def log_likelihood(self, pictures: Tensor, captions: Tensor) -> Tensor:
        """log p(words of the caption | picture): `(batch,)`, for `(batch, words)` ids."""
        log_odds = self(pictures).float()
        said = torch.zeros_like(log_odds).scatter(1, captions, 1.0)  # (batch, vocabulary)
        errors = F.binary_cross_entropy_with_logits(log_odds, said, reduction="none")
        return -errors[:, 2:].sum(dim=1)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two grey pictures."""
        return (self.words.weight.new_zeros(2, *self.picture_shape),)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()
