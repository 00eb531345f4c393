"""Which examples each training step uses: a shuffle per epoch, computable for any step without the earlier ones."""

import numpy as np
import torch
from torch import Tensor


class ShuffledBatches:
    """Batches of indices of `count` examples: each epoch is a new permutation, seeded by `seed` and the epoch.

    Only full batches are used; the leftover examples of a permutation come up in other epochs. With fewer than
    `batch_size` examples, one smaller batch holds them all.

    Args:
        lengths: `(count,)`; if given, each batch gets examples of similar length, to save padding. Every `WINDOW`
            batches of the permutation are sorted by length before they are cut, then all batches are shuffled.
    """

    WINDOW = 16  # batches

    def __init__(self, count: int, batch_size: int, seed: int, device: torch.device, *, lengths: Tensor | None = None):
        self.count, self.seed, self.device = count, seed, device
        self.lengths = None if lengths is None else lengths.cpu().numpy()
        self.batch_size = min(batch_size, count)
        self.steps_per_epoch = count // self.batch_size
        self._epoch, self._batches = -1, torch.empty(0)

    def indices(self, step: int) -> Tensor:
        """The indices of a step's examples: `(batch,)` int64 on the device."""
        epoch, within = self.epoch(step), step % self.steps_per_epoch
        if epoch != self._epoch:
            self._batches = torch.from_numpy(self._shuffled(epoch)).to(self.device)
            self._epoch = epoch
        return self._batches[within]

    def epoch(self, step: int) -> int:
        """The epoch that a step belongs to, counted from 0."""
        return step // self.steps_per_epoch

    def steps_in(self, epochs: int, accumulate: int) -> int:
        """How many training steps `epochs` take if each step takes `accumulate` batches."""
        return -(-epochs * self.steps_per_epoch // accumulate)

    def _shuffled(self, epoch: int) -> np.ndarray:
        """An epoch's batches, `(steps, batch)`."""
        # numpy mixes seed and epoch well, and permutes on the CPU, so the order is the same on every device.
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(self.count)[: self.steps_per_epoch * self.batch_size]
        if self.lengths is None:
            return order.reshape(-1, self.batch_size)
        window = self.WINDOW * self.batch_size
        for start in range(0, len(order), window):
            part = order[start : start + window]
            order[start : start + window] = part[np.argsort(self.lengths[part], kind="stable")]
        return generator.permutation(order.reshape(-1, self.batch_size))
