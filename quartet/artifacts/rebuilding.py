"""Rebuild a network from the arguments in its model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

Network = TypeVar("Network", bound="nn.Module")


def build_network(networks: Mapping[str, type[Network]], description: Mapping[str, object]) -> Network:
    """Build the network that `description["name"]` names; the rest of `description` are its arguments."""
    arguments = dict(description)
    return networks[str(arguments.pop("name"))](**arguments)


def rebuild_network(networks: Mapping[str, type[Network]], card: Mapping, weights: Mapping[str, Tensor]) -> Network:
    """Rebuild a trained network in evaluation mode from its card and weights.

    Raises:
        ValueError: the network's code has changed since the model was trained.
    """
    try:
        network = build_network(networks, card["network"])
        network.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"the {card['family']} model does not fit this version of the code; `dvc repro` retrains it"
        ) from error
    return network.eval()


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
