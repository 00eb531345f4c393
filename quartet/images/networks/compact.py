"""A small convolutional network that adapts its depth to the image size."""

import functools
from collections.abc import Sequence

from torch import Tensor, nn

from quartet.images.networks.activations import ACTIVATIONS
from quartet.images.networks.interface import ImageNetwork


class PooledCnn(ImageNetwork):
    """A stem, levels of convolutions, the maximum of each of the last maps, and a linear classifier.

    Args:
        stem, levels: from images to the last maps.
        features: number of the last maps.
        image_shape: `(channels, size, size)` of the input images.
        classes: number of logits.
        dropout: before the classifier.
    """

    def __init__(
        self,
        stem: nn.Module,
        levels: Sequence[nn.Module],
        features: int,
        *,
        image_shape: tuple[int, int, int],
        classes: int,
        dropout: float,
    ):
        super().__init__()
        self.image_shape, self.stem, self.levels = image_shape, stem, nn.Sequential(*levels)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, classes)

    def features_of(self, images: Tensor) -> Tensor:
        """The maximum of each of the last level's maps, `(batch, features)`."""
        return self.levels(self.stem(images)).amax(dim=(2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """Features to `(batch, classes)` logits."""
        return self.classifier(self.dropout(features))

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images of zeros."""
        return (self.classifier.weight.new_zeros(2, *self.image_shape),)


class CompactCnn(PooledCnn):
    """VGG-like (Simonyan & Zisserman 2015) with batch normalisation and global max-pooling.

    After the stem come a convolution and a pooling. Then each level doubles the channels with two convolutions; pooling
    follows until the side is below 12. The `strided` stem, for images of 16 pixels and more, is a 5×5 convolution with
    stride 2. 28×28 images thus need most of their work on 6×6 maps, and many cheap steps train faster than a few
    expensive ones. The `plain` stem, which smaller images always have, keeps the full resolution at several times the
    cost.

    Args:
        channels, size: of the input images, `(batch, channels, size, size)`.
        classes: number of logits.
        width: channels of the stem.
        dropout: before the classifier.
        activation: a name in `activations.py`.
        stem: `strided` or `plain`.
    """

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        classes: int,
        width: int,
        dropout: float,
        activation: str,
        stem: str = "strided",
    ):
        block = functools.partial(ConvolutionBlock, activation=activation)
        if stem == "strided" and size >= 16:
            first, side = block(channels, width, kernel=5, stride=2, padding=0), (size - 3) // 4
        else:
            first, side = block(channels, width), size // 2
        levels, deeper = [block(width, width, pooled=True)], True
        while deeper:
            deeper = side >= 12
            levels += [block(width, 2 * width), block(2 * width, 2 * width, pooled=deeper)]
            width, side = 2 * width, side // 2
        super().__init__(first, levels, width, image_shape=(channels, size, size), classes=classes, dropout=dropout)


class ConvolutionBlock(nn.Module):
    """Convolution (by default 3×3, keeping the size), batch normalisation, activation.

    Max-pooling, with `pooled`, comes before the normalisation, which then has a quarter of the work.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        activation: str,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        pooled: bool = False,
    ):
        super().__init__()
        # No bias: the normalisation has one.
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.pooling = nn.MaxPool2d(2) if pooled else nn.Identity()
        self.normalisation = nn.BatchNorm2d(outputs)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height', width')`, halved by stride and by pooling."""
        return self.activation(self.normalisation(self.pooling(self.convolution(images))))
