"""A small residual network that adapts its depth to the image size."""

from torch import Tensor, nn

from quartet.images.networks.activations import ACTIVATIONS
from quartet.images.networks.compact import ConvolutionBlock, PooledCnn


class ResidualCnn(PooledCnn):
    """Residual blocks (He et al. 2016) between pooled convolutions, as in airbench96 (Jordan 2024).

    The stem has half of `width` channels at full resolution, where each channel costs most. Then each level doubles the
    channels, halves the side and ends with a residual block, until the side is below 8. Thus every convolution of a
    level needs about the same work.

    Args:
        channels, size: of the input images, `(batch, channels, size, size)`.
        classes: number of logits.
        width: channels of the first level, even.
        dropout: before the classifier.
        activation: a name in `activations.py`.
    """

    def __init__(self, *, channels: int, size: int, classes: int, width: int, dropout: float, activation: str):
        features, side = width // 2, size
        stem = ConvolutionBlock(channels, features, activation=activation)
        levels: list[nn.Module] = []
        while side >= 8:
            levels += [ConvolutionBlock(features, 2 * features, activation=activation, pooled=True)]
            levels += [ResidualBlock(2 * features, activation)]
            features, side = 2 * features, side // 2
        super().__init__(stem, levels, features, image_shape=(channels, size, size), classes=classes, dropout=dropout)


class ResidualBlock(nn.Module):
    """What two convolutions make of the maps is added to them, so that gradients also pass by the convolutions."""

    def __init__(self, channels: int, activation: str):
        super().__init__()
        self.first = ConvolutionBlock(channels, channels, activation=activation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.normalisation = nn.BatchNorm2d(channels)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, maps: Tensor) -> Tensor:
        """`(batch, channels, side, side)` to the same shape."""
        return self.activation(maps + self.normalisation(self.second(self.first(maps))))
