"""Grad-CAM (Selvaraju et al. 2017): which parts of an image support a class."""

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.images.networks.interface import ImageNetwork


def grad_cam(network: ImageNetwork, images: Tensor, classes: Tensor) -> Tensor:
    """Heat maps of the parts of each image that support its class in `classes`.

    With feature maps A_k and the logit z of the class, the weight of a map is its mean gradient, w_k = mean ∂z/∂A_k,
    and the result is ReLU(Σ_k w_k A_k), scaled to a maximum of 1.

    Args:
        network: an image classifier.
        images: `(batch, channels, size, size)`, normalised.
        classes: `(batch,)` labels.

    Returns:
        `(batch, size, size)` in [0, 1].
    """
    with torch.no_grad():
        maps = network.feature_maps(images)
    maps = maps.requires_grad_()  # (batch, maps, side, side)
    with torch.enable_grad():
        logits = network.logits_of(maps).gather(1, classes[:, None])
        gradients = torch.autograd.grad(logits.sum(), maps)[0]
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    seen = F.relu((weights * maps.detach()).sum(dim=1, keepdim=True))  # (batch, 1, side, side)
    seen = F.interpolate(seen, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return seen / seen.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
