"""The matcher: a network that scores how well a picture and a caption match, to choose among drawn pictures.

Ramesh et al. 2021 rank drawn pictures with CLIP, a network trained to match pictures with captions. This one is
smaller: it predicts from a picture which words are in its caption, and only words that tell classes apart. A picture
does not show the other words, and guessing them would only add noise to the choice.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.text_to_image.networks.unet import patch_side


class Matcher(nn.Module):
    """From a picture to the probability that each distinguishing word (one that tells classes apart) is in its caption.

    Args:
        channels, size: of the pictures, which are split into patches as in the UNet.
        words: ids of the distinguishing words (`Captioner.distinguishing_words`).
        width: channels of the finer of two levels, divisible by `groups`.
        groups: groups of the group normalisation, as in the UNet.
    """

    words: Tensor  # (distinguishing words,)

    def __init__(self, *, channels: int, size: int, words: Sequence[int], width: int, groups: int):
        super().__init__()
        self.picture_shape = (channels, size, size)
        self.patch = patch_side(size)
        self.layers = nn.Sequential(
            *_convolution(channels * self.patch**2, width, groups),
            *_convolution(width, width, groups),
            *_convolution(width, 2 * width, groups, stride=2),
            *_convolution(2 * width, 2 * width, groups),
        )
        self.log_odds = nn.Linear(2 * width, len(words))
        self.register_buffer("words", torch.tensor(words), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """`(batch, channels, size, size)` in [-1, 1] to `(batch, distinguishing words)` log-odds."""
        return self.log_odds(self.layers(F.pixel_unshuffle(pictures, self.patch)).mean(dim=(2, 3)))

    def log_likelihood(self, pictures: Tensor, captions: Tensor) -> Tensor:
        """log p(distinguishing words of the caption | picture), `(batch,)`; `captions` are `(batch, words)` ids."""
        log_odds = self(pictures).float()
        present = (captions[:, :, None] == self.words).any(dim=1)  # (batch, distinguishing words)
        return -F.binary_cross_entropy_with_logits(log_odds, present.float(), reduction="none").sum(dim=1)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two grey pictures."""
        return (self.log_odds.weight.new_zeros(2, *self.picture_shape),)


def _convolution(inputs: int, outputs: int, groups: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.GroupNorm(groups, outputs), nn.SiLU()
