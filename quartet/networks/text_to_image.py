"""Text to image: the text encoder and the UNet, trained as one network."""

from torch import Tensor, nn

from quartet.networks.text_encoder import TextEncoder
from quartet.networks.unet import UNet


class TextToImage(nn.Module):
    """Predicts the velocity of a noisy picture on its way to noise, given the caption.

    Args:
        channels, size: of the pictures.
        vocabulary_size, words: of the captions.
        width: channels of the UNet's finest level.
        text_width, text_layers, text_heads: of the text encoder.
        dropout: in the UNet.
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
    ):
        super().__init__()
        self.picture_shape = (channels, size, size)
        self.text_encoder = TextEncoder(
            vocabulary_size=vocabulary_size, words=words, width=text_width, layers=text_layers, heads=text_heads
        )
        self.unet = UNet(channels=channels, size=size, width=width, text_width=text_width, dropout=dropout)

    def forward(self, pictures: Tensor, times: Tensor, captions: Tensor) -> Tensor:
        """`(batch, channels, size, size)`, `(batch,)`, `(batch, words)` ids to a velocity of the pictures' shape."""
        words, mask = self.text_encoder(captions)
        return self.unet(pictures, times, words, mask)
