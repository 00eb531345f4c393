"""The networks that classify images, by their names in a model's card."""

from quartet.images.networks.backbone import Backbone
from quartet.images.networks.compact import CompactCnn
from quartet.images.networks.interface import ImageNetwork
from quartet.images.networks.reference import ReferenceCnn
from quartet.images.networks.residual import ResidualCnn
from quartet.training.no_classes import NO_CLASSES, NoClasses

NETWORKS: dict[str, type[ImageNetwork]] = {
    "compact": CompactCnn,
    "residual": ResidualCnn,
    "reference": ReferenceCnn,
    "backbone": Backbone,
    NO_CLASSES: NoClasses,  # type: ignore[dict-item]  # which nothing asks for features or classes
}
