"""The networks that classify images, by the name that the setting `train_cnn.network` gives them."""

from quartet.images.networks.compact import CompactCnn
from quartet.images.networks.reference import ReferenceCnn

NETWORKS = {"compact": CompactCnn, "reference": ReferenceCnn}
