"""Test-time augmentation: ask about an image and slightly moved copies of it, and take the mean answer."""

from collections.abc import Callable

import torch
from torch import Tensor

from quartet.datasets.augmentation import affine
from quartet.datasets.images import unit
from quartet.images.networks.interface import ImageNetwork

# Right and down in shares of the side: a pixel of MNIST's, which moves a stroke by less than its width.
SHIFTS = ((0.0, 0.0), (1 / 28, 0.0), (-1 / 28, 0.0), (0.0, 1 / 28), (0.0, -1 / 28))


@torch.no_grad()
def shifted_probabilities(
    network: ImageNetwork, images: Tensor, prepare: Callable[[Tensor], Tensor], batch_size: int
) -> Tensor:
    """The mean of the class probabilities over `SHIFTS`.

    `images` is `(images, channels, size, size)` uint8, `prepare` takes them from [0, 1] to what the network reads;
    returns `(images, classes)`.
    """
    return torch.cat([_mean_over_shifts(network, unit(batch), prepare) for batch in images.split(batch_size)])


def _mean_over_shifts(network: ImageNetwork, images: Tensor, prepare: Callable[[Tensor], Tensor]) -> Tensor:
    still, whole = torch.zeros(len(images)), torch.ones(len(images))
    still, whole = still.to(images.device), whole.to(images.device)
    total = images.new_zeros(())  # of (images, classes), once something is added
    for shift in SHIFTS:
        shifts = images.new_tensor(shift).expand(len(images), 2)
        moved = affine(images, degrees=still, shifts=shifts, scales=whole, shears=still)
        total = total + network(prepare(moved)).softmax(dim=1)
    return total / len(SHIFTS)
