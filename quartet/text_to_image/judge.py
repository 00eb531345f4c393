"""The judge: the image family's trained classifier, which classifies drawn pictures."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card_for
from quartet.artifacts.rebuilding import rebuild_network
from quartet.classification.predictions import logits_over
from quartet.datasets.images import Images, normalise, to_unit_range
from quartet.images.networks import NETWORKS
from quartet.images.networks.interface import ImageNetwork


class Judge:
    """A trained image classifier that judges drawn pictures.

    Args:
        network: an image classifier.
        data: the `mean` and `std` of the images that it was trained on.
        batch_size: pictures at once.
    """

    def __init__(self, network: ImageNetwork, data: Mapping, batch_size: int):
        self.network, self.data, self.batch_size = network, data, batch_size

    def classes_of(self, images: Images) -> Tensor:
        """`(images, channels, size, size)` uint8 to `(images,)` labels."""
        return self._over(self.network, images).argmax(dim=1)

    def features_of(self, images: Images) -> Tensor:
        """The features that its last layer classifies: `(images, features)`."""
        return self._over(lambda batch: self.network.features_of(batch), images)

    def _over(self, function: Callable[[Tensor], Tensor], images: Images) -> Tensor:
        def prepared(batch: Tensor) -> Tensor:
            return normalise(to_unit_range(batch), self.data["mean"], self.data["std"])

        return logits_over(function, images, prepared, self.batch_size)


def trained_judge(classes: Sequence[str], device: torch.device, batch_size: int) -> Judge:
    """Load the judge from `models/cnn`.

    Raises:
        ValueError: it was not trained on the processed images, or its classes are not these.
    """
    card = read_card_for(paths.model("cnn"), paths.processed("images"))
    if card["data"]["classes"] != list(classes):
        raise ValueError("models/cnn and models/diffusion were trained on different classes; run `dvc repro`")
    network = rebuild_network(NETWORKS, card, load_weights(paths.model("cnn")))
    return Judge(network.to(device), card["data"], batch_size)
