"""A compact convolutional network that sizes itself to the images: convolution, normalisation, activation, pooling."""

from torch import Tensor, nn


class CompactCnn(nn.Module):
    """VGG-like (Simonyan & Zisserman 2015) with batch normalisation and global average pooling.

    Each level holds two 3×3 convolutions, then max-pooling halves the side and the next level doubles the channels,
    until the side is below 8. Images of 16 pixels and more enter by a 5×5 convolution of stride 2.

    Args:
        channels, size: of the input images, `(batch, channels, size, size)`.
        classes: number of logits.
        width: channels of the first level.
        dropout: before the classifier.
    """

    def __init__(self, *, channels: int, size: int, classes: int, width: int, dropout: float):
        super().__init__()
        large = size >= 16
        self.stem = ConvolutionBlock(channels, width, kernel=5 if large else 3, stride=2 if large else 1)
        side = (size + 1) // 2 if large else size
        levels = [ConvolutionBlock(width, width)]
        while side >= 8:
            levels += [nn.MaxPool2d(2), ConvolutionBlock(width, 2 * width), ConvolutionBlock(2 * width, 2 * width)]
            width, side = 2 * width, side // 2
        self.levels = nn.Sequential(*levels)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, size, size)` normalised images to `(batch, classes)` logits."""
        return self.classifier(self.dropout(self.features(images)))

    def features(self, images: Tensor) -> Tensor:
        """What the classifier sees: `(batch, features)`, the last level averaged over its pixels."""
        maps = self.levels(self.stem(images))  # (batch, features, side, side)
        return maps.mean(dim=(2, 3))


class ConvolutionBlock(nn.Module):
    """Convolution that keeps the side (or divides it by the stride), batch normalisation, GELU."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1):
        super().__init__()
        # The normalisation has a bias of its own.
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.normalisation = nn.BatchNorm2d(outputs)
        self.activation = nn.GELU()

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height / stride, width / stride)`."""
        return self.activation(self.normalisation(self.convolution(images)))
