"""Test-time augmentation: average the predictions for an image and slightly shifted copies of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from quartet.datasets.augmentation import affine
from quartet.datasets.images import Images, to_unit_range
from quartet.images.networks.interface import ImageNetwork
from quartet.training.parallel.spreading import spread

# Right and down, as shares of the side: one pixel in MNIST, less than the width of a stroke.
SHIFTS = ((0.0, 0.0), (1 / 28, 0.0), (-1 / 28, 0.0), (0.0, 1 / 28), (0.0, -1 / 28))


@torch.no_grad()
def shifted_probabilities(
    network: ImageNetwork, images: Images, prepare: Callable[[Tensor], Tensor], batch_size: int
) -> Tensor:
    """The mean class probabilities over `SHIFTS`, `(images, classes)`.

    `images` is `(images, channels, size, size)` uint8; `prepare` turns images in [0, 1] into network inputs.
    """
    parts = spread(
        lambda batch: (_mean_over_shifts(network, to_unit_range(batch), prepare),),
        images.split(batch_size),
        images.device,
    )
    return torch.cat([probabilities for (probabilities,) in parts])


def _mean_over_shifts(network: ImageNetwork, images: Tensor, prepare: Callable[[Tensor], Tensor]) -> Tensor:
    zeros, ones = torch.zeros(len(images)), torch.ones(len(images))
    zeros, ones = zeros.to(images.device), ones.to(images.device)
    total = images.new_zeros(())  # becomes (images, classes)
    for shift in SHIFTS:
        shifts = images.new_tensor(shift).expand(len(images), 2)
        moved = affine(images, degrees=zeros, shifts=shifts, scales=ones, shears=zeros)
        total = total + network(prepare(moved)).softmax(dim=1)
    return total / len(SHIFTS)
