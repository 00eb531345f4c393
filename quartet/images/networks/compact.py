"""A compact convolutional network that sizes itself to the images: convolution, normalisation, activation, pooling."""

import functools

from torch import Tensor, nn

from quartet.images.networks.activations import ACTIVATIONS
from quartet.images.networks.interface import ImageNetwork


class CompactCnn(ImageNetwork):
    """VGG-like (Simonyan & Zisserman 2015) with batch normalisation and global max-pooling.

    A stem, one convolution and a pooling; then levels of two convolutions of twice the channels, with poolings between
    them until the side is below 12. With the stem `strided`, images of 16 pixels and more enter by 5×5 and stride 2.
    Most of the work is thus done on 6×6 maps for 28×28 images: many cheap steps train sooner than few dear ones. The
    stem `plain` looks at every pixel, as it does in smaller images, for several times the work.

    Args:
        channels, size: of the input images, `(batch, channels, size, size)`.
        classes: number of logits.
        width: channels of the stem.
        dropout: before the classifier.
        activation: a name of `activations.py`.
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
        super().__init__()
        self.image_shape = (channels, size, size)
        block = functools.partial(ConvolutionBlock, activation=activation)
        if stem == "strided" and size >= 16:
            self.stem, side = block(channels, width, kernel=5, stride=2, padding=0), (size - 3) // 4
        else:
            self.stem, side = block(channels, width), size // 2
        levels, deeper = [block(width, width, pooled=True)], True
        while deeper:
            deeper = side >= 12
            levels += [block(width, 2 * width), block(2 * width, 2 * width, pooled=deeper)]
            width, side = 2 * width, side // 2
        self.levels = nn.Sequential(*levels)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def feature_maps(self, images: Tensor) -> Tensor:
        """The last level's maps, `(batch, features, side, side)`."""
        return self.levels(self.stem(images))

    def features_of(self, maps: Tensor) -> Tensor:
        """What the classifier sees of feature maps, but for its dropout: their largest values, `(batch, features)`."""
        return maps.amax(dim=(2, 3))

    def logits_of(self, maps: Tensor) -> Tensor:
        """Feature maps to `(batch, classes)` logits."""
        return self.classifier(self.dropout(self.features_of(maps)))

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images of zeros."""
        return (self.classifier.weight.new_zeros(2, *self.image_shape),)


class ConvolutionBlock(nn.Module):
    """Convolution (3×3 that keeps the side, if nothing else is said), batch normalisation, activation.

    Max-pooling, if asked for, comes before the normalisation, which then has a quarter of the work.
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
        # The normalisation has a bias of its own.
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.pooling = nn.MaxPool2d(2) if pooled else nn.Identity()
        self.normalisation = nn.BatchNorm2d(outputs)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height', width')`, halved by stride and by pooling."""
        return self.activation(self.normalisation(self.pooling(self.convolution(images))))
