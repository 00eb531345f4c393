"""Encoded pairs and their batches: pairs of like lengths share a batch, so that little of it is padding."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.artifacts.tensor_files import load_tensors
from quartet.language.networks.encoder_decoder import SENTINELS

PADDING = -100  # in targets: no token, which the loss ignores


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

    def cut_to(self, tokens: int) -> "EncodedPairs":
        """The beginnings of all pairs: at most so many tokens of each side."""
        return EncodedPairs([source[:tokens] for source in self.sources], [target[:tokens] for target in self.targets])


def encoded_pairs(folder: Path, split: str) -> EncodedPairs:
    """The pairs of a split of the processed data in `folder`."""
    arrays = load_tensors(folder / f"{split}.safetensors")
    return EncodedPairs(
        *(list(arrays[side].long().split(arrays[f"{side}_lengths"].tolist())) for side in ("source", "target"))
    )


def round_length(length: int) -> int:
    """Round a length up to 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, …: four to a doubling, and then every 32nd.

    Batches of few different shapes save memory in bfloat16 on a CPU: oneDNN compiles and keeps code for each shape, and
    what is kept leaves gaps in the heap that later batches do not fit.
    """
    step = min(2 ** max(0, length.bit_length() - 3), SENTINELS)  # a network has positions for so many more
    return -(-length // step) * step


def padded(rows: Sequence[Tensor], padding: int = 0) -> Tensor:
    """Rows of token ids as one tensor `(rows, longest)`, padded at their ends."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding)


def padded_round(rows: Sequence[Tensor], padding: int = 0) -> Tensor:
    """Like `padded`, to the rounded length of the longest."""
    together = padded(rows, padding)
    return F.pad(together, (0, round_length(together.shape[1]) - together.shape[1]), value=padding)


def sources_batch(sources: Sequence[Tensor], first_sentinel: int) -> tuple[Tensor, Tensor]:
    """What the encoder reads: each source and a hole after it, `(batch, steps)`, and the mask of its tokens."""
    opened = torch.tensor([first_sentinel])
    read = padded_round([torch.cat([source, opened]) for source in sources])
    lengths = torch.tensor([len(source) + 1 for source in sources])
    return read, torch.arange(read.shape[1]) < lengths[:, None]


def training_batch(pairs: EncodedPairs, chosen: Sequence[int], first_sentinel: int) -> tuple[Tensor, ...]:
    """The encoder's input and its mask, the decoder's input, and the targets, which are `PADDING` beyond their end.

    All are `(batch, steps)`, with rounded lengths. The decoder's input begins with the sentinel token that stands for
    the hole; the next sentinel token ends the targets.
    """
    read, mask = sources_batch([pairs.sources[number] for number in chosen], first_sentinel)
    opened, closed = torch.tensor([first_sentinel]), torch.tensor([first_sentinel + 1])
    targets = [pairs.targets[number] for number in chosen]
    written = padded_round([torch.cat([opened, target]) for target in targets])
    wanted = padded_round([torch.cat([target, closed]) for target in targets], PADDING)
    return read, mask, written, wanted


class TokenBatches:
    """Batches of pairs of like lengths with at most `tokens` tokens on either side, padding included.

    The pairs are sorted by the rounded lengths of their targets and then of their sources, and cut into batches. Each
    epoch shuffles the pairs of equal rounded lengths, and the batches; where batches are cut stays the same, so that
    every epoch has as many.

    Args:
        pairs: with at least one token on each side.
        tokens: the most tokens in a batch.
        seed: of the shuffles.
    """

    def __init__(self, pairs: EncodedPairs, tokens: int, seed: int):
        self.seed = seed
        # With the sentinel token of each.
        targets, sources = (
            np.array([round_length(len(row) + 1) for row in side]) for side in (pairs.targets, pairs.sources)
        )
        # Sources are sorted up and down in turn, so that neighbours across two lengths of targets are alike too.
        places = np.unique(targets, return_inverse=True)[1]
        self._keys = np.where(places % 2 == 0, sources, -sources), targets
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
