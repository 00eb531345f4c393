"""A table of a network's layers: name, kind, output shape, parameters."""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer; `output` is its output shape without the batch, `parameters` counts its own trainable parameters."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int


@runtime_checkable
class HasExampleInputs(Protocol):
    """A network that can make example inputs for itself."""

    def example_inputs(self) -> tuple[Tensor, ...]:
        """A batch of two inputs."""


def layer_table(network: nn.Module) -> pd.DataFrame:
    """A table of `layers_of`: `layer`, `kind`, `output` (shape without the batch) and `parameters`."""
    rows = [
        (layer.name, layer.kind, " × ".join(map(str, layer.output)), layer.parameters) for layer in layers_of(network)
    ]
    return pd.DataFrame(rows, columns=["layer", "kind", "output", "parameters"])


def layers_of(network: nn.Module) -> list[Layer]:
    """The layers in the order in which they run; a module that runs several times is listed once.

    A layer is a module without submodules, or with parameters of its own. To find the layers, the network is run once
    on its `example_inputs`, and then each of its children that has `example_inputs` too.
    """
    if not isinstance(network, HasExampleInputs):
        raise TypeError(f"{type(network).__name__} has no example_inputs")
    rows: dict[str, Layer] = {}

    def recorder(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            first = output[0] if isinstance(output, tuple) else output
            own = sum(p.numel() for p in module.parameters(recurse=False) if p.requires_grad)
            if name not in rows and isinstance(first, Tensor):
                rows[name] = Layer(name, type(module).__name__, tuple(first.shape[1:]), own)

        return hook

    layers = [
        (name, module)
        for name, module in network.named_modules()
        if name and not isinstance(module, nn.Identity) and _is_layer(module)
    ]
    handles = [module.register_forward_hook(recorder(name)) for name, module in layers]
    mode = network.training
    try:
        with torch.no_grad():
            network.eval()(*network.example_inputs())
            for part in network.children():
                if isinstance(part, HasExampleInputs):  # a part that the network's forward pass does not run
                    part(*part.example_inputs())
    finally:
        network.train(mode)
        for handle in handles:
            handle.remove()
    return list(rows.values())


def _is_layer(module: nn.Module) -> bool:
    return not list(module.children()) or bool(list(module.parameters(recurse=False)))
