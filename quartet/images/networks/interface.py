"""What is asked of every network that classifies images."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ImageNetwork(nn.Module, ABC):
    """Images to logits by way of feature maps, at which Grad-CAM and the judge of drawn pictures look."""

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, size, size)` normalised images to `(batch, classes)` logits."""
        return self.logits_of(self.feature_maps(images))

    @abstractmethod
    def feature_maps(self, images: Tensor) -> Tensor:
        """The last maps of the convolutions, `(batch, maps, side, side)`."""

    @abstractmethod
    def features_of(self, maps: Tensor) -> Tensor:
        """What the classifier sees of feature maps, but for its dropout: `(batch, features)`."""

    @abstractmethod
    def logits_of(self, maps: Tensor) -> Tensor:
        """Feature maps to `(batch, classes)` logits."""

    @abstractmethod
    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images of zeros."""
