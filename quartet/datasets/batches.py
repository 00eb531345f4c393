"""Which examples each training step sees: epochs without repetition, any step computable without those before it."""

import numpy as np
import torch
from torch import Tensor


class ShuffledBatches:
    """Index batches over `count` examples: each epoch is a fresh permutation, seeded by `seed` and the epoch.

    An epoch has as many full batches as fit (at least one, then smaller than `batch_size`); the rest of a permutation
    is left out, and comes up in other epochs.

    Args:
        lengths: `(count,)`, where examples of like lengths shall share a batch, so that little of it is padding: each
            window of so many batches of the permutation is sorted by length before it is cut, and the batches change
            places.
    """

    WINDOW = 16  # batches

    def __init__(self, count: int, batch_size: int, seed: int, device: torch.device, *, lengths: Tensor | None = None):
        self.count, self.seed, self.device = count, seed, device
        self.lengths = None if lengths is None else lengths.cpu().numpy()
        self.batch_size = min(batch_size, count)
        self.steps_per_epoch = count // self.batch_size
        self._epoch, self._batches = -1, torch.empty(0)

    def indices(self, step: int) -> Tensor:
        """The examples of a step: `(batch,)` int64 on the device."""
        epoch, within = self.epoch(step), step % self.steps_per_epoch
        if epoch != self._epoch:
            self._batches = torch.from_numpy(self._shuffled(epoch)).to(self.device)
            self._epoch = epoch
        return self._batches[within]

    def epoch(self, step: int) -> int:
        """The epoch that a step belongs to, counted from 0."""
        return step // self.steps_per_epoch

    def steps_in(self, epochs: int, accumulate: int) -> int:
        """Training steps that so many epochs take, if a step takes `accumulate` batches."""
        return -(-epochs * self.steps_per_epoch // accumulate)

    def _shuffled(self, epoch: int) -> np.ndarray:
        """An epoch's batches, `(steps, batch)`."""
        # numpy mixes seed and epoch well, and permutes on the CPU: the order does not depend on the device.
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(self.count)[: self.steps_per_epoch * self.batch_size]
        if self.lengths is None:
            return order.reshape(-1, self.batch_size)
        window = self.WINDOW * self.batch_size
        for start in range(0, len(order), window):
            part = order[start : start + window]
            order[start : start + window] = part[np.argsort(self.lengths[part], kind="stable")]
        return generator.permutation(order.reshape(-1, self.batch_size))
