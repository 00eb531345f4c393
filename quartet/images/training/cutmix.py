"""CutMix: a square of another picture in each, and the labels of both in proportion (Yun et al. 2019).

A network that is shown a part of a cat in a picture of a dog learns to tell both from any part of them, which helps
where there are few pictures.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.datasets.augmentation import squares
from quartet.images.training.losses import smoothed_one_hot


def random_squares(share: float, batch: int, size: int, generator: torch.Generator) -> Tensor:
    """Where pictures of `size` pixels show another: `(batch, 1, size, size)` bool, nowhere but in a `share` of them.

    The areas are uniform between nothing and everything; a part of a square may lie outside.
    """
    areas, chosen, *places = torch.rand(4, batch, generator=generator, device=generator.device)
    return squares(size, size, torch.stack(places, dim=1), areas.sqrt() * (chosen < share))


def paste(images: Tensor, others: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The images with the others `inside`, and the share `(batch,)` of each that is left."""
    return torch.where(inside, others, images), 1 - inside.float().mean(dim=(1, 2, 3))


def mixed_loss(
    logits: Tensor, labels: Tensor, others: Tensor, left: Tensor, name: str, label_smoothing: float
) -> Tensor:
    """The loss `name` of `losses.py` with the target λ t + (1 − λ) t', where t and t' are those of both labels.

    Args:
        logits: z, `(batch, classes)`.
        labels, others: `(batch,)`.
        left: λ, `(batch,)`, the share of each picture that is its own.
        name, label_smoothing: as of `classification_loss`.
    """
    targets, pasted = (smoothed_one_hot(each, logits.shape[1], label_smoothing) for each in (labels, others))
    mixed = left[:, None] * targets + (1 - left[:, None]) * pasted
    if name == "cross_entropy":
        return F.cross_entropy(logits, mixed)
    if name == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(logits, mixed)
    return F.mse_loss(logits.softmax(dim=1), mixed)
