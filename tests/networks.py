"""Every network of every family, built from the arguments that a model's card keeps."""

from pkgutil import resolve_name

from torch import nn

from quartet.artifacts.rebuilding import build_network
from quartet.families import FAMILIES

NETWORKS = {name: kind for family in FAMILIES.values() for name, kind in resolve_name(family.networks).items()}


def build(description) -> nn.Module:
    """The network with these arguments, freshly initialised."""
    return build_network(NETWORKS, description)
