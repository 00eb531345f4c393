"""Grad-CAM (Selvaraju et al. 2017): which parts of an image support a class."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.images.networks.interface import ImageNetwork


def grad_cam(network: ImageNetwork, images: Tensor, classes: Tensor) -> Tensor:
    """Heat maps of the parts of each image that support its class in `classes`.

    With feature maps A_k and the logit z of the class, the weight of a map is its mean gradient, w_k = mean ∂z/∂A_k,
    and the result is ReLU(Σ_k w_k A_k), scaled to a maximum of 1. The maps are those of the last layer that still has
    more than one place: of a convolutional network its last maps, of a vision transformer the grid of its tokens.

    Args:
        network: an image classifier.
        images: `(batch, channels, size, size)`, normalised.
        classes: `(batch,)` labels.

    Returns:
        `(batch, size, size)` in [0, 1].
    """
    with torch.enable_grad(), _recorded_outputs(network) as outputs:
        logits = network(images.clone().requires_grad_()).gather(1, classes[:, None]).sum()
        maps, gradients = _last_with_places(outputs, logits)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    seen = F.relu((weights * maps).sum(dim=1, keepdim=True))  # (batch, 1, side, side)
    seen = F.interpolate(seen, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return seen / seen.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)


@contextlib.contextmanager
def _recorded_outputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of all modules in the order in which they are computed."""
    outputs: list[Tensor] = []

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            outputs.append(output)

    handles = [module.register_forward_hook(record) for module in network.modules()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _last_with_places(outputs: list[Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    """The last maps with more than one place on which the logits depend, and their gradients: `(batch, maps, h, w)`.

    In the last block of a transformer, only the class token matters after the attention; the search goes back to where
    the others do.
    """
    for output in reversed(outputs):
        maps = _as_maps(output)
        if maps is not None:
            (gradients,) = torch.autograd.grad(logits, output, retain_graph=True, allow_unused=True)
            found = None if gradients is None else _as_maps(gradients)
            if found is not None and found.abs().max() > 0:
                return maps.detach(), found
    raise ValueError("no layer of this network has maps of more than one place")


def _as_maps(output: Tensor) -> Tensor | None:
    """An output as maps `(batch, maps, height, width)`; None if it has no places.

    Tokens are `(batch, tokens, features)`, in a square grid, after a class token if there is one. Maps are square, so
    that those of shifted windows are known, which have their features last.
    """
    if output.ndim == 4:
        maps = output if output.shape[2] == output.shape[3] else output.movedim(-1, 1)
        return maps if maps.shape[2] == maps.shape[3] > 1 else None
    if output.ndim == 3:
        side = math.isqrt(output.shape[1])
        if side > 1 and output.shape[1] - side**2 in (0, 1):
            return output[:, -(side**2) :].unflatten(1, (side, side)).movedim(-1, 1)
    return None
