"""The interface of networks that classify images."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ImageNetwork(nn.Module, ABC):
    """Images to features, which the judge of drawn pictures uses, and these to logits."""

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, size, size)` normalised images to `(batch, classes)` logits."""
        return self.classify(self.features_of(images))

    @abstractmethod
    def features_of(self, images: Tensor) -> Tensor:
        """The classifier's input before dropout, `(batch, features)`."""

    @abstractmethod
    def classify(self, features: Tensor) -> Tensor:
        """Features to `(batch, classes)` logits."""

    @abstractmethod
    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images of zeros."""
