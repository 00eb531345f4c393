"""Every network of every family, built from the arguments that a model's card keeps."""

from pkgutil import resolve_name

from torch import nn

from quartet.artifacts.rebuilding import build_network
from quartet.families import FAMILIES

NETWORKS = {name: kind for family in FAMILIES.values() for name, kind in resolve_name(family.networks).items()}

# A small network of text to image.
TEXT_TO_IMAGE = {
    "name": "text-to-image",
    "channels": 1,
    "size": 16,
    "vocabulary_size": 9,
    "words": 4,
    "width": 8,
    "text_width": 16,
    "text_layers": 1,
    "text_heads": 2,
    "dropout": 0.0,
}


def build(description) -> nn.Module:
    """The network with these arguments, freshly initialised."""
    return build_network(NETWORKS, description)
