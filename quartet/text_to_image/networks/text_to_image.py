"""Text to image: the text encoder and the UNet, trained as one network, and an optional matcher."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quartet.text_to_image.networks.matcher import Matcher
from quartet.text_to_image.networks.text_encoder import TextEncoder
from quartet.text_to_image.networks.unet import UNet


class TextToImage(nn.Module):
    """Predicts, from a noisy picture, its time and a caption, the target that `objective` names.

    Args:
        channels, size: of the pictures.
        vocabulary_size, words: of the captions.
        width: channels of the UNet's finest level.
        text_width, text_layers, text_heads: of the text encoder.
        dropout: in the UNet.
        norm_groups: groups of the group normalisation. With 1, weights and feature maps are in channels-last memory
            format, in which a CPU convolves almost twice as fast but normalises eight groups ten times as slowly.
        objective, schedule: the prediction target and the forward process (`noise_schedules.py`).
        merges: how tokens of captions are made (`captions/open_captions.py`); none if class names make the captions.
        matched_words: ids of the words that the matcher predicts from a picture (`rejection.py`); no matcher if empty.
    """

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        vocabulary_size: int,
        words: int,
        width: int,
        text_width: int,
        text_layers: int,
        text_heads: int,
        dropout: float,
        norm_groups: int = 8,
        objective: str = "flow",
        schedule: str = "flow",
        matched_words: Sequence[int] = (),
        merges: Sequence[str] = (),
    ):
        super().__init__()
        self.objective, self.schedule = objective, schedule
        self.picture_shape, self.words, self.merges = (channels, size, size), words, tuple(merges)
        self.text_encoder = TextEncoder(
            vocabulary_size=vocabulary_size, words=words, width=text_width, layers=text_layers, heads=text_heads
        )
        maps = {"channels": channels, "size": size, "width": width, "groups": norm_groups}
        self.unet = UNet(**maps, text_width=text_width, dropout=dropout)
        self.matcher = Matcher(**maps, words=matched_words) if matched_words else None
        if norm_groups == 1:
            self.to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor, times: Tensor, captions: Tensor) -> Tensor:
        """Predict from pictures `(batch, channels, size, size)`, times `(batch,)` and caption ids `(batch, words)`.

        Returns:
            `(batch, channels, size, size)`.
        """
        return self.denoise(pictures, times, *self.encode(captions))

    def encode(self, captions: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, words)` ids to `(batch, words, text width)` vectors and the `(batch, words)` mask of real words."""
        return self.text_encoder(captions)

    def denoise(self, pictures: Tensor, times: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Like `forward`, with captions that are already encoded."""
        return self.unet(pictures, times, words, mask)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two pictures halfway to noise, with captions of one word."""
        device = next(self.parameters()).device
        captions = torch.zeros(2, self.words, dtype=torch.long, device=device)
        captions[:, 0] = 1
        return torch.zeros(2, *self.picture_shape, device=device), torch.full((2,), 0.5, device=device), captions
