"""Rebuild a network from the arguments that its model card keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

Network = TypeVar("Network", bound="nn.Module")


def build_network(networks: Mapping[str, type[Network]], description: Mapping[str, object]) -> Network:
    """The one of `networks` named `description["name"]`, freshly initialised, from the remaining arguments."""
    arguments = dict(description)
    return networks[str(arguments.pop("name"))](**arguments)


def rebuild_network(networks: Mapping[str, type[Network]], card: Mapping, weights: Mapping[str, Tensor]) -> Network:
    """A trained network, ready to be asked, from its card and weights.

    Raises:
        ValueError: the network's code is no longer the one that the model was trained with.
    """
    try:
        network = build_network(networks, card["network"])
        network.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"the {card['family']} model does not fit this version of the code; `dvc repro` trains it anew"
        ) from error
    return network.eval()


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers in the network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
