"""Incremental decoding of several texts at once: `incremental_decoding.py` with a row per text.

Texts of different lengths need no padding: each row of the key-value cache is filled from its beginning, each row has
its own position, and what is beyond it is masked. A text has the same tokens by itself and among others; only rounding
differs, by which a product of matrices is not the same sum as one of a matrix and a vector.
"""

import math
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from quartet.language.incremental_decoding import EPSILON
from quartet.language.networks.decoder import CausalBlock, Decoder
from quartet.language.networks.interface import LanguageModel
from quartet.language.networks.ngram_embedding import FACTORS

CACHED = 2**27  # numbers in the caches of all rows, which bounds how many texts are continued at once
MOST_ROWS = 64


class BatchDecoder:
    """Continue several texts, a token each at a time.

    Args:
        network: a decoder on a CPU, in float32.
        rows: how many texts.
    """

    def __init__(self, network: Decoder, rows: int):
        self.network = network
        self.embedding, self.embedding_gain = _array(network.embedding.weight), _array(network.embedding_norm.weight)
        self.output_gain = _array(network.output_norm.weight)
        self.position = None if network.position is None else _array(network.position.table)
        self.tables = [] if network.ngrams is None else [*map(_array, network.ngrams.tables.parameters())]
        self.last = np.zeros((rows, len(self.tables)), np.int64)  # token ids, for the n-grams
        self.steps = np.zeros(rows, np.int64)  # tokens that each row has read
        self.blocks = [_BatchBlock(block, network.context, rows) for block in network.blocks]

    @staticmethod
    def suits(network: LanguageModel) -> TypeGuard[Decoder]:
        """Whether this class can continue texts with this network."""
        return isinstance(network, Decoder) and network.embedding.weight.device.type == "cpu"

    @staticmethod
    def most_rows(network: Decoder) -> int:
        """How many texts to continue at once, so that their caches fit into any machine's memory."""
        row = 2 * len(network.blocks) * network.context * network.embedding.weight.shape[1]
        return max(1, min(MOST_ROWS, CACHED // row))

    def read(self, row: int, tokens: Sequence[int]) -> Tensor | None:
        """Read `tokens`, at most `context` of them, in place of what the row has read.

        Returns `(1, vocabulary)` logits of the next token; None after no tokens.
        """
        self.last[row], self.steps[row] = 0, len(tokens)
        if not tokens:
            for block in self.blocks:
                block.forget(row)
            return None
        logits, past = self.network.begin(torch.tensor([tokens]))
        self.last[row] = _array(past.last[0])
        for block, kept in zip(self.blocks, past.blocks, strict=True):
            block.fill(row, [kept.attended, kept.fed], kept.cache.keys, kept.cache.values)
        return logits[:, -1]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        self.last, self.steps = self.last[rows], self.steps[rows]
        for block in self.blocks:
            block.keep(rows)

    def advance(self, tokens: Sequence[int]) -> Tensor:
        """Read a token in each row; returns the `(rows, vocabulary)` logits of those after them."""
        read = np.asarray(tokens, np.int64)
        hidden = self.embedding[read]  # (rows, features)
        if self.tables:
            hidden = hidden + np.concatenate(self._ngrams(read), axis=1)
        if self.position is not None:
            hidden = hidden + self.position[self.steps]
        hidden = _normalised(hidden, self.embedding_gain)
        beyond = np.arange(self.steps.max() + 1) > self.steps[:, None]  # (rows, steps)
        mask = np.where(beyond, np.float32(-np.inf), np.float32(0))[:, None]
        for block in self.blocks:
            hidden = block.advance(hidden, self.steps, mask)
        self.steps = self.steps + 1
        self.last = np.concatenate([self.last, read[:, None]], axis=1)[:, 1:]
        return torch.from_numpy(_normalised(hidden, self.output_gain) @ self.embedding.T)

    def _ngrams(self, tokens: np.ndarray) -> list[np.ndarray]:
        hashed, found = tokens * FACTORS[0], []
        for distance, table in enumerate(self.tables, start=1):
            hashed = hashed + self.last[:, -distance] * FACTORS[distance]
            found.append(table[hashed % len(table)])
        return found


class _BatchBlock:
    """A `CausalBlock` with its caches, which have a row per text."""

    def __init__(self, block: CausalBlock, context: int, rows: int):
        attention = block.attention
        self.gains = _array(block.attention_norm.weight), _array(block.feed_forward_norm.weight)
        convolutions = block.attention_convolution, block.feed_forward_convolution
        self.shares = [_array(convolution.shares)[::-1].copy() for convolution in convolutions]  # oldest token first
        self.before = [np.zeros((rows, *shares.shape), np.float32) for shares in self.shares]
        parts = [attention.query, attention.key, attention.value]
        self.projection = np.concatenate([_array(part.weight) for part in parts]).T  # (features, 3 × features)
        self.output = _array(attention.output.weight).T
        self.expand = _array(block.feed_forward.expand.weight).T
        self.contract = _array(block.feed_forward.contract.weight).T
        self.turn = None if attention.position is None else [*map(_array, attention.position.buffers())]
        self.heads = attention.heads
        shape = (rows, self.heads, context, len(self.output) // self.heads)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def fill(self, row: int, before: Sequence[Tensor], keys: Tensor, values: Tensor) -> None:
        """Take over the caches of a single text."""
        for own, given in zip(self.before, before, strict=True):
            own[row] = _array(given[0])
        steps = keys.shape[2]
        self.keys[row, :, :steps], self.values[row, :, :steps] = _array(keys[0]), _array(values[0])

    def forget(self, row: int) -> None:
        """Begin a text; what the caches hold beyond its position is never looked at."""
        for own in self.before:
            own[row] = 0

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        self.before = [own[rows] for own in self.before]
        self.keys, self.values = self.keys[rows], self.values[rows]

    def advance(self, hidden: np.ndarray, steps: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """`(rows, features)` of the tokens at each row's position in `steps` to the same shape.

        `mask` `(rows, 1, steps)` is added to the scores of attention: −∞ beyond each row's position.
        """
        hidden = hidden + self._attended(self._mixed(0, hidden), steps, mask)
        return hidden + np.square(np.maximum(self._mixed(1, hidden) @ self.expand, 0)) @ self.contract

    def _mixed(self, number: int, hidden: np.ndarray) -> np.ndarray:
        """Normalise the tokens, and add their shares of the tokens before them (the short convolution)."""
        tokens, before = _normalised(hidden, self.gains[number]), self.before[number]
        self.before[number] = np.concatenate([before, tokens[:, None]], axis=1)[:, 1:]
        return tokens + (before * self.shares[number]).sum(axis=1)

    def _attended(self, tokens: np.ndarray, steps: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows, features = np.arange(len(tokens)), self.keys.shape[3]
        # (3, rows, heads, head features)
        query, key, value = (tokens @ self.projection).reshape(-1, 3, self.heads, features).swapaxes(0, 1)
        if self.turn is not None:
            sine, cosine = (table[steps][:, None] for table in self.turn)  # (rows, 1, head features / 2)
            query, key = _turned(query, sine, cosine), _turned(key, sine, cosine)
        self.keys[rows, :, steps], self.values[rows, :, steps] = key, value
        seen = mask.shape[2]
        scores = (self.keys[:, :, :seen] @ (query[..., None] / math.sqrt(features)))[..., 0]  # (rows, heads, steps)
        scores += mask
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        found = weights[:, :, None] @ self.values[:, :, :seen]  # (rows, heads, 1, head features)
        return found.reshape(len(tokens), -1) @ self.output


def _turned(heads: np.ndarray, sine: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """`RotaryPosition` for one token per row, `(rows, heads, head features)`."""
    half = sine.shape[-1]
    first, second = heads[..., :half], heads[..., half:]
    return np.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=-1)


def _normalised(tokens: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """`RMSNorm` for one token per row."""
    squares = np.einsum("rf,rf->r", tokens, tokens) / tokens.shape[1]
    return tokens * (1 / np.sqrt(squares + EPSILON))[:, None] * gain


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()
