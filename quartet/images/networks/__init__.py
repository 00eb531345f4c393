"""The networks that classify images, by their names in the setting `train_cnn.network`."""

from quartet.images.networks.compact import CompactCnn
from quartet.images.networks.interface import ImageNetwork
from quartet.images.networks.reference import ReferenceCnn

NETWORKS: dict[str, type[ImageNetwork]] = {"compact": CompactCnn, "reference": ReferenceCnn}
