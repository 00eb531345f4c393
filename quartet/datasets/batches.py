"""Which examples each training step sees: epochs without repetition, any step computable without those before it."""

import numpy as np
import torch
from torch import Tensor


class ShuffledBatches:
    """Index batches over `count` examples: each epoch is a fresh permutation, seeded by `seed` and the epoch.

    An epoch has as many full batches as fit (at least one, then smaller than `batch_size`); the rest of a permutation
    is left out, and comes up in other epochs.
    """

    def __init__(self, count: int, batch_size: int, seed: int, device: torch.device):
        self.count, self.seed, self.device = count, seed, device
        self.batch_size = min(batch_size, count)
        self.steps_per_epoch = count // self.batch_size
        self._epoch, self._order = -1, torch.empty(0)

    def indices(self, step: int) -> Tensor:
        """The examples of a step: `(batch,)` int64 on the device."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            # numpy mixes seed and epoch well, and permutes on the CPU: the order does not depend on the device.
            order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
            self._order = torch.from_numpy(order).to(self.device)
            self._epoch = epoch
        return self._order[within * self.batch_size : (within + 1) * self.batch_size]


def normalise(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """`(batch, channels, height, width)` in [0, 1] to zero mean and unit deviation over the training split."""
    shape = (1, -1, 1, 1)
    return (images - images.new_tensor(mean).view(shape)) / images.new_tensor(std).view(shape)
