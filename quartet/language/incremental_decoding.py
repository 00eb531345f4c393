"""Incremental decoding: the decoder's step from one token to the next, in numpy, for a single text on a CPU.

A token needs only a few million multiplications, in about four hundred operations. Calling these takes torch a
millisecond, and numpy a quarter of that. The equations are those of `decoder.py`.
"""

import math
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from quartet.language.networks.decoder import BlockPast, CausalBlock, Decoder, Past
from quartet.language.networks.interface import LanguageModel
from quartet.language.networks.ngram_embedding import FACTORS
from quartet.layers.attention import MultiHeadAttention

EPSILON = np.finfo(np.float32).eps  # the default of torch's RMSNorm


class IncrementalDecoder:
    """Continue from `past`, one token at a time.

    Args:
        network: a decoder on a CPU, in float32.
        past: of a single text, shorter than the network's context.
    """

    def __init__(self, network: Decoder, past: Past):
        self.embedding, self.embedding_gain = _array(network.embedding.weight), _array(network.embedding_norm.weight)
        self.output_gain = _array(network.output_norm.weight)
        self.position = None if network.position is None else _array(network.position.table)
        self.tables = [] if network.ngrams is None else [*map(_array, network.ngrams.tables.parameters())]
        self.last = past.last[0].tolist()
        self.steps = past.blocks[0].cache.keys.shape[2]
        blocks = zip(network.blocks, past.blocks, strict=True)
        self.blocks = [_Block(block, kept, network.context) for block, kept in blocks]

    @staticmethod
    def suits(network: LanguageModel, prompt: Tensor) -> TypeGuard[Decoder]:
        """Whether this class can continue a prompt `(batch, steps)` with this network."""
        return isinstance(network, Decoder) and len(prompt) == 1 and network.embedding.weight.device.type == "cpu"

    def advance(self, token: int) -> Tensor:
        """Read a token; returns the `(1, vocabulary)` logits of the one after it."""
        hidden = self.embedding[token]
        if self.tables:
            hidden = hidden + np.concatenate(self._ngrams(token))
        if self.position is not None:
            hidden = hidden + self.position[self.steps]
        hidden = _normalised(hidden, self.embedding_gain)
        for block in self.blocks:
            hidden = block.advance(hidden, self.steps)
        self.steps += 1
        self.last = [*self.last, token][1:]
        return torch.from_numpy(self.embedding @ _normalised(hidden, self.output_gain))[None]

    def _ngrams(self, token: int) -> list[np.ndarray]:
        hashed, found = token * FACTORS[0], []
        for distance, table in enumerate(self.tables, start=1):
            hashed += self.last[-distance] * FACTORS[distance]
            found.append(table[hashed % len(table)])
        return found


class _Block:
    """A `CausalBlock` with its caches."""

    def __init__(self, block: CausalBlock, past: BlockPast, context: int):
        attention: MultiHeadAttention = block.attention
        self.gains = _array(block.attention_norm.weight), _array(block.feed_forward_norm.weight)
        # Oldest token first, in the order of `before`.
        convolutions = block.attention_convolution, block.feed_forward_convolution
        self.shares = [_array(convolution.shares)[::-1].copy() for convolution in convolutions]
        self.before = [_array(past.attended[0]), _array(past.fed[0])]
        parts = [attention.query, attention.key, attention.value]
        self.projection = np.concatenate([_array(part.weight) for part in parts])  # (3 × features, features)
        self.output = _array(attention.output.weight)
        self.expand, self.contract = (
            _array(block.feed_forward.expand.weight),
            _array(block.feed_forward.contract.weight),
        )
        self.turn = None if attention.position is None else [*map(_array, attention.position.buffers())]
        shape = (attention.heads, context, past.cache.keys.shape[3])
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        steps = past.cache.keys.shape[2]
        self.keys[:, :steps], self.values[:, :steps] = _array(past.cache.keys[0]), _array(past.cache.values[0])

    def advance(self, hidden: np.ndarray, step: int) -> np.ndarray:
        """`(features,)` of the token at position `step` to the same shape."""
        hidden = hidden + self._attended(self._mixed(0, hidden), step)
        return hidden + self.contract @ np.square(np.maximum(self.expand @ self._mixed(1, hidden), 0))

    def _mixed(self, number: int, hidden: np.ndarray) -> np.ndarray:
        """Normalise a token, and add its shares of the tokens before it (the short convolution)."""
        token, before = _normalised(hidden, self.gains[number]), self.before[number]
        self.before[number] = np.concatenate([before, token[None]])[1:]
        return token + np.einsum("rf,rf->f", before, self.shares[number])

    def _attended(self, token: np.ndarray, step: int) -> np.ndarray:
        heads, _, features = self.keys.shape
        query, key, self.values[:, step] = (self.projection @ token).reshape(3, heads, features)
        if self.turn is not None:
            sine, cosine = self.turn[0][step], self.turn[1][step]
            query, key = _turned(query, sine, cosine), _turned(key, sine, cosine)
        self.keys[:, step] = key
        scores = (self.keys[:, : step + 1] @ (query[:, :, None] / math.sqrt(features)))[:, :, 0]  # (heads, steps)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        found = weights[:, None] @ self.values[:, : step + 1]  # (heads, 1, head features)
        return self.output @ found.reshape(-1)


def _turned(heads: np.ndarray, sine: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """`RotaryPosition` for one token's `(heads, head features)`."""
    half = len(sine)
    first, second = heads[:, :half], heads[:, half:]
    return np.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=1)


def _normalised(token: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """`RMSNorm` for one token."""
    return token * (gain / math.sqrt(token @ token / len(token) + EPSILON))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()
