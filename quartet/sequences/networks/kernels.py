"""A classifier of long series: fixed random kernels, pooled over the series, before a linear layer that is trained."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from quartet.layers.random_kernels import CompetingKernels, DilatedKernels, inside

LARGEST = 10.0  # size of a feature, in standard deviations
CHUNK = 2**20  # numbers of the series that are convolved at once, times the features of a step


class KernelClassifier(nn.Module):
    """`layers/random_kernels.py`, standardised by what they give on the training series, and a linear classifier.

    Args:
        features: numbers per step.
        steps: of the longest training series; longer ones may follow.
        classes: number of logits.
        seed: of the kernels.
    """

    mean: Tensor  # (columns,)
    scale: Tensor  # (columns,)

    def __init__(self, *, features: int, steps: int, classes: int, seed: int = 0):
        super().__init__()
        self.features, self.steps = features, steps
        self.dilated = DilatedKernels(features, steps, seed=seed)
        self.competing = CompetingKernels(features, steps, seed=seed)
        columns = self.dilated.columns + self.competing.columns
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))
        self.classifier = nn.Linear(columns, classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Sequences `(batch, steps, features)`, padded at the end, to `(batch, classes)` logits.

        `lengths`, `(batch,)`, are the steps of each without padding; None if nothing is padded.
        """
        return self.classifier(self.pooled(sequences, lengths))

    @torch.no_grad()
    def pooled(self, sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The standardised features of the sequences, `(batch, columns)`."""
        pooled = torch.cat([self._raw(*part) for part in _parts(sequences, lengths)])
        # What hardly varies in training would have an enormous size where it does vary.
        return ((pooled - self.mean) / self.scale).clamp(-LARGEST, LARGEST)

    @torch.no_grad()
    def fit(self, sequences: Tensor, lengths: Tensor | None = None) -> None:
        """Take thresholds, means and deviations from the training sequences."""
        ((series, ends),) = _parts(sequences, lengths, len(sequences))
        self.dilated.fit(series, ends)
        pooled = torch.cat([self._raw(*part) for part in _parts(sequences, lengths)])
        empty = (pooled == 0).float().mean(dim=0)
        self.mean.copy_(pooled.mean(dim=0))
        # A feature that is rarely there would be scaled up by its small deviation (as in HYDRA).
        self.scale.copy_(pooled.std(dim=0, unbiased=False) + empty**4 + 1e-8)

    def _raw(self, series: Tensor, lengths: Tensor) -> Tensor:
        return torch.cat([self.dilated(series, lengths), self.competing(series, lengths)], dim=1)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two sequences of zeros, as long as the longest of training."""
        return (torch.zeros(2, self.steps, self.features, device=self.mean.device),)


def _parts(sequences: Tensor, lengths: Tensor | None, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Series `(batch, features, steps)`, zero after their lengths, and the lengths; parts that fit into memory."""
    if lengths is None:
        lengths = torch.full((len(sequences),), sequences.shape[1], device=sequences.device)
    size = most or max(1, CHUNK // (84 * sequences.shape[1] * sequences.shape[2]))
    for values, ends in zip(sequences.split(size), lengths.split(size), strict=True):
        series = values.transpose(1, 2) * inside(ends, values.shape[1])[:, None]
        yield series.float(), ends
