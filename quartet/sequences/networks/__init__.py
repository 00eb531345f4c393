"""The networks of the sequence family, by the names in the settings."""

from torch import nn

from quartet.sequences.networks.forecaster import Forecaster
from quartet.sequences.networks.kernels import KernelClassifier
from quartet.sequences.networks.recurrent import RecurrentClassifier
from quartet.training.no_classes import NO_CLASSES, NoClasses

NETWORKS: dict[str, type[nn.Module]] = {
    "recurrent": RecurrentClassifier,
    "kernels": KernelClassifier,
    "forecaster": Forecaster,
    NO_CLASSES: NoClasses,
}
