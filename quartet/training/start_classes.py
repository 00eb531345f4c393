"""The last layer of a start model that was trained on other classes."""

from collections.abc import Mapping, Sequence

from torch import nn


def foreign_classifier(network: nn.Module, classes: Sequence[str], start: Mapping) -> set[str]:
    """The weights of a network's `classifier` if the model that the manifest `start` describes has other classes.

    As many classes, or the same in another order, would fit, but mean something else.
    """
    others = start.get("data", {}).get("classes")  # published weights have none
    if others is None or list(others) == list(classes):
        return set()
    print("the start model has other classes, so its last layer starts from random weights", flush=True)
    return {name for name in network.state_dict() if name.startswith("classifier.")}
