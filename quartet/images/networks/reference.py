"""The textbook convolutional network: three convolutions, two poolings, two linear layers, for 48×48 RGB images."""

from torch import Tensor, nn

from quartet.images.networks.activations import ACTIVATIONS
from quartet.images.networks.interface import ImageNetwork

SIDE, CHANNELS = 48, 3


class ReferenceCnn(ImageNetwork):
    """Convolutions 3→32→64→128 (3×3, padding 1), max-pooling after the second and the third, 512 hidden units.

    Args:
        classes: number of logits.
        dropout: before each of the two linear layers.
        activation: a name in `activations.py`; the textbook has `relu`.
    """

    def __init__(self, *, classes: int, dropout: float, activation: str):
        super().__init__()
        activated = ACTIVATIONS[activation]
        # One module per use, so that the layer table lists them all.
        self.convolution1 = nn.Conv2d(CHANNELS, 32, kernel_size=3, padding=1)
        self.activation1 = activated()
        self.convolution2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.activation2 = activated()
        self.pooling1 = nn.MaxPool2d(2)
        self.convolution3 = nn.Conv2d(64, 128, kernel_size=3, padding=1)
        self.activation3 = activated()
        self.pooling2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.dropout1 = nn.Dropout(dropout)
        self.hidden = nn.Linear(128 * 12 * 12, 512)
        self.activation4 = activated()
        self.dropout2 = nn.Dropout(dropout)
        self.classifier = nn.Linear(512, classes)

    def features_of(self, images: Tensor) -> Tensor:
        """The hidden units, `(batch, 512)`."""
        maps = self.activation1(self.convolution1(images))  # (batch, 32, 48, 48)
        maps = self.pooling1(self.activation2(self.convolution2(maps)))  # (batch, 64, 24, 24)
        maps = self.pooling2(self.activation3(self.convolution3(maps)))  # (batch, 128, 12, 12)
        return self.activation4(self.hidden(self.dropout1(self.flatten(maps))))

    def classify(self, features: Tensor) -> Tensor:
        """Features to `(batch, classes)` logits."""
        return self.classifier(self.dropout2(features))

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images of zeros."""
        return (self.classifier.weight.new_zeros(2, CHANNELS, SIDE, SIDE),)
