"""The interface of networks that classify images."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ImageNetwork(nn.Module, ABC):
    """Images to logits through feature maps, which Grad-CAM and the judge of drawn pictures use."""

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, size, size)` normalised images to `(batch, classes)` logits."""
        return self.logits_of(self.feature_maps(images))

    @abstractmethod
    def feature_maps(self, images: Tensor) -> Tensor:
        """The output of the convolutional layers, `(batch, maps, side, side)`."""

    @abstractmethod
    def features_of(self, maps: Tensor) -> Tensor:
        """The classifier's input before dropout, computed from the feature maps: `(batch, features)`."""

    @abstractmethod
    def logits_of(self, maps: Tensor) -> Tensor:
        """Feature maps to `(batch, classes)` logits."""

    @abstractmethod
    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images of zeros."""
