"""Encoded pairs and their batches: pairs of like lengths share a batch, so that little of it is padding."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quartet.artifacts.model_store import load_tensors

PADDING = -100  # in targets: no token, which the loss ignores
SOURCE_STEP = 4  # lengths of sources are compared in multiples of this many tokens


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """The `(tokens,)` ids of each source and of each target."""

    sources: list[Tensor]
    targets: list[Tensor]

    def __len__(self) -> int:
        return len(self.sources)

    def no_longer_than(self, tokens: int) -> "EncodedPairs":
        """Those pairs of which neither side has more than so many tokens."""
        kept = [pair for pair in zip(self.sources, self.targets, strict=True) if max(map(len, pair)) <= tokens]
        return EncodedPairs([source for source, _ in kept], [target for _, target in kept])


def encoded_pairs(folder: Path, split: str) -> EncodedPairs:
    """The pairs of a split of the processed data in `folder`."""
    arrays = load_tensors(folder / f"{split}.safetensors")
    return EncodedPairs(
        *(list(arrays[side].long().split(arrays[f"{side}_lengths"].tolist())) for side in ("source", "target"))
    )


def padded(rows: Sequence[Tensor], padding: int = 0) -> Tensor:
    """Rows of token ids as one tensor `(rows, longest)`, padded at their ends."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding)


def sources_batch(sources: Sequence[Tensor], first_sentinel: int) -> tuple[Tensor, Tensor]:
    """What the encoder reads: each source and a hole after it, `(batch, steps)`, and the mask of its tokens."""
    opened = torch.tensor([first_sentinel])
    rows = [torch.cat([source, opened]) for source in sources]
    lengths = torch.tensor([len(row) for row in rows])
    return padded(rows), torch.arange(int(lengths.max())) < lengths[:, None]


def training_batch(pairs: EncodedPairs, chosen: Sequence[int], first_sentinel: int) -> tuple[Tensor, ...]:
    """The encoder's input and its mask, the decoder's input, and the targets, which are `PADDING` beyond their end.

    All are `(batch, steps)`. The decoder's input begins with the sentinel token that stands for the hole; the next
    sentinel token ends the targets.
    """
    read, mask = sources_batch([pairs.sources[number] for number in chosen], first_sentinel)
    opened, closed = torch.tensor([first_sentinel]), torch.tensor([first_sentinel + 1])
    targets = [pairs.targets[number] for number in chosen]
    written = padded([torch.cat([opened, target]) for target in targets])
    wanted = padded([torch.cat([target, closed]) for target in targets], PADDING)
    return read, mask, written, wanted


class TokenBatches:
    """Batches of pairs of like lengths with at most `tokens` tokens on either side, padding included.

    The pairs are sorted by the lengths of their targets and then of their sources, both rounded up, and cut into
    batches. Each epoch shuffles the pairs of equal rounded lengths, and the batches; where batches are cut stays the
    same, so that every epoch has as many.

    Args:
        pairs: with at least one token on each side.
        tokens: the most tokens in a batch.
        seed: of the shuffles.
    """

    def __init__(self, pairs: EncodedPairs, tokens: int, seed: int):
        self.seed = seed
        targets = np.array([len(target) + 1 for target in pairs.targets])  # with the sentinel token
        sources = np.array([len(source) + 1 for source in pairs.sources])
        sources = -(-sources // SOURCE_STEP) * SOURCE_STEP
        # Sources are sorted up and down in turn, so that neighbours across two lengths of targets are alike too.
        self._keys = np.where(targets % 2 == 0, sources, -sources), targets
        order = np.lexsort(self._keys)
        self._borders = _borders(targets[order], sources[order], tokens)
        self.steps_per_epoch = len(self._borders) - 1
        self._epoch, self._batches = -1, [np.empty(0, np.int64)]

    def indices(self, step: int) -> list[int]:
        """The indices of a step's pairs."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        return self._batches[within].tolist()

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng((self.seed, epoch))
        order = np.lexsort((generator.permutation(len(self._keys[0])), *self._keys))
        batches = np.split(order, self._borders[1:-1])
        return [batches[number] for number in generator.permutation(len(batches))]


def _borders(targets: np.ndarray, sources: np.ndarray, tokens: int) -> list[int]:
    """Where sorted pairs are cut: a batch has at most `tokens` tokens on either side, or a single pair."""
    borders, longest = [0], 0
    for place, length in enumerate(np.maximum(targets, sources).tolist()):
        longest = max(longest, length)
        if place > borders[-1] and (place + 1 - borders[-1]) * longest > tokens:
            borders.append(place)
            longest = length
    return [*borders, len(targets)]
