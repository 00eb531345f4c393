"""The encoder-decoder Transformer (Vaswani et al. 2017, Raffel et al. 2020): it reads text with holes, and fills them.

The encoder reads a text in which sentinel tokens ⟨0⟩, ⟨1⟩, … replace the missing spans. The decoder writes ⟨0⟩, the
first span, ⟨1⟩, the second span, …, and ends with one more sentinel token:

    text       the cat sat on the mat
    encoder    the ⟨0⟩ on the ⟨1⟩
    decoder    ⟨0⟩ cat sat ⟨1⟩ mat ⟨2⟩

A text to be continued has one hole, at its end. A translation fills the hole at the end of its source:

    source     the cat ⟨0⟩
    target     ⟨0⟩ die Katze ⟨1⟩
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.language.networks.interface import LanguageModel
from quartet.layers.attention import FeedForward, KeyValues, MultiHeadAttention, Stack, TransformerBlock
from quartet.layers.positional_encoding import positions

SENTINELS = 32  # number of sentinel tokens, including the one that ends the last span


class DecoderBlock(nn.Module):
    """Causal self-attention, cross-attention to the encoder and a feed-forward layer, pre-norm with residuals."""

    def __init__(self, features: int, heads: int, *, position: nn.Module | None, dropout: float):
        super().__init__()
        self.attention_norm = nn.RMSNorm(features)
        self.attention = MultiHeadAttention(features, heads, position=position, dropout=dropout)
        self.cross_norm = nn.RMSNorm(features)
        self.cross_attention = MultiHeadAttention(features, heads, dropout=dropout)
        self.feed_forward_norm = nn.RMSNorm(features)
        self.feed_forward = FeedForward(features, dropout)

    def forward(
        self, tokens: Tensor, read: KeyValues, past: KeyValues | None, mask: Tensor | None = None
    ) -> tuple[Tensor, KeyValues]:
        """`(batch, steps, features)` to the same shape, and the key-value cache.

        `read` are the keys and values of the encoder's text for the cross-attention; `mask` is False at its padding.
        """
        attended, cache = self.attention.causal(self.attention_norm(tokens), past)
        tokens = tokens + attended
        tokens = tokens + self.cross_attention.cross(self.cross_norm(tokens), read, mask)
        return tokens + self.feed_forward(self.feed_forward_norm(tokens)), cache


@dataclasses.dataclass(frozen=True)
class Past:
    """The decoder's state, one item per block: keys and values of the encoder's text, and its own key-value cache.

    `mask` `(batch, steps read)` is False at the padding of the encoder's text; None where nothing is padded.
    """

    read: list[KeyValues]
    caches: list[KeyValues | None]
    mask: Tensor | None = None

    def rows(self, chosen: Tensor) -> "Past":
        """The state of the chosen rows of the batch, in their order; a row may be chosen several times."""
        caches = [None if cache is None else _rows(cache, chosen) for cache in self.caches]
        return Past(
            [_rows(read, chosen) for read in self.read], caches, None if self.mask is None else self.mask[chosen]
        )

    def caches_of(self, chosen: Tensor) -> "Past":
        """Only the key-value caches of the chosen rows; each has read the same as the row whose place it takes."""
        caches = [None if cache is None else _rows(cache, chosen) for cache in self.caches]
        return dataclasses.replace(self, caches=caches)


def _rows(key_values: KeyValues, chosen: Tensor) -> KeyValues:
    return KeyValues(key_values.keys[chosen], key_values.values[chosen])


class EncoderDecoder(LanguageModel):
    """Two stacks of blocks that share one token embedding, also as the output layer.

    Args:
        vocabulary_size: number of tokens, without the sentinel tokens.
        context: the most tokens that either stack reads at once, without the sentinel tokens.
        width: features per token.
        layers: blocks in the encoder, and in the decoder.
        heads: attention heads per block.
        position: `rotary`, `sinusoidal`, `learned` or `none`.
        dropout: after embedding, attention and feed-forward.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        context: int,
        width: int,
        layers: int,
        heads: int,
        position: str,
        dropout: float,
    ):
        super().__init__()
        self.vocabulary_size, self.context = vocabulary_size, context
        self.embedding = nn.Embedding(vocabulary_size + SENTINELS, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.position, rotary = positions(position, context + SENTINELS, width, heads)
        self.embedding_norm = nn.RMSNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.encoder = Stack(TransformerBlock(width, heads, position=rotary, dropout=dropout) for _ in range(layers))
        self.encoder_norm = nn.RMSNorm(width)
        self.blocks = Stack(DecoderBlock(width, heads, position=rotary, dropout=dropout) for _ in range(layers))
        self.output_norm = nn.RMSNorm(width)
        for block in [*self.encoder, *self.blocks]:
            # Each block starts as the identity, so that deep networks learn as fast at the start.
            nn.init.zeros_(block.attention.output.weight)
            nn.init.zeros_(block.feed_forward.contract.weight)

    @property
    def sentinel_tokens(self) -> range:
        """The ids of the sentinel tokens."""
        return range(self.vocabulary_size, self.vocabulary_size + SENTINELS)

    def fill(self, corrupted: Tensor, writing: Tensor) -> Tensor:
        """Read `(batch, steps)` with holes and `(batch, written)` of the filling.

        Returns:
            `(batch, written, vocabulary + SENTINELS)` logits of the next tokens.
        """
        return self.decode(writing, self.encode(corrupted))[0]

    def forward(self, tokens: Tensor) -> Tensor:
        """As a language model: `(batch, steps)` ids to `(batch, steps, vocabulary)` logits of the next tokens.

        The encoder reads the first token and a hole; the decoder writes the rest.
        """
        opened = torch.full_like(tokens[:, :1], self.vocabulary_size)
        past = self.encode(torch.cat([tokens[:, :1], opened], dim=1))
        logits, _ = self.decode(torch.cat([opened, tokens[:, 1:]], dim=1), past)
        return logits[..., : self.vocabulary_size]

    def begin(self, prompt: Tensor) -> tuple[Tensor, Past]:
        """Encode `(batch, steps)` and a hole; returns `(batch, 1, vocabulary)` logits of the next token, and a past."""
        opened = torch.full_like(prompt[:, :1], self.vocabulary_size)
        return self.advance(opened, self.encode(torch.cat([prompt, opened], dim=1)))

    def advance(self, tokens: Tensor, past: Past) -> tuple[Tensor, Past]:
        """`(batch, steps)` further tokens to `(batch, steps, vocabulary)` logits of the next ones, and the new past."""
        logits, past = self.decode(tokens, past)
        return logits[..., : self.vocabulary_size], past

    def encode(self, corrupted: Tensor, mask: Tensor | None = None) -> Past:
        """Read a text with holes, `(batch, steps)`; returns the state of a decoder that has written nothing.

        `mask`, of the same shape, is False at padding, which then changes no result.
        """
        hidden = self._embedded(corrupted, 0)
        for block in self.encoder:
            hidden = block(hidden, mask)
        read = self.encoder_norm(hidden)
        key_values = [block.cross_attention.keys_and_values(read) for block in self.blocks]
        return Past(key_values, [None] * len(self.blocks), mask)

    def decode(self, written: Tensor, past: Past) -> tuple[Tensor, Past]:
        """`(batch, steps)` further tokens to `(batch, steps, vocabulary + SENTINELS)` logits, and the new past."""
        hidden, past = self.decode_hidden(written, past)
        return F.linear(hidden, self.embedding.weight), past

    def decode_hidden(self, written: Tensor, past: Past) -> tuple[Tensor, Past]:
        """Like `decode`, but returns the `(batch, steps, width)` inputs of the output layer instead of logits."""
        before = 0 if past.caches[0] is None else past.caches[0].keys.shape[2]
        hidden, caches = self._embedded(written, before), []
        for block, read, cache in zip(self.blocks, past.read, past.caches, strict=True):
            hidden, extended = block(hidden, read, cache, past.mask)
            caches.append(extended)
        return self.output_norm(hidden), Past(past.read, caches, past.mask)

    def attention_maps(self, tokens: Tensor) -> list[Tensor]:
        """The attention of each token to each token: `(batch, heads, steps, steps)` per block of the encoder."""
        hidden, maps = self._embedded(tokens, 0), []
        for block in self.encoder:
            maps.append(block.attention.weights(block.attention_norm(hidden), causal=False))
            hidden = block(hidden)
        return maps

    def cross_attention_maps(self, read: Tensor, written: Tensor) -> list[Tensor]:
        """The attention of each written token to each token read: `(batch, heads, written, read)` per decoder block."""
        past, hidden, maps = self.encode(read), self._embedded(written, 0), []
        for block, key_values in zip(self.blocks, past.read, strict=True):
            attended = hidden + block.attention.causal(block.attention_norm(hidden))[0]
            maps.append(block.cross_attention.cross_weights(block.cross_norm(attended), key_values))
            hidden, _ = block(hidden, key_values, None)
        return maps

    def _embedded(self, tokens: Tensor, before: int) -> Tensor:
        """`(batch, steps)` ids at positions from `before` on to `(batch, steps, width)`."""
        hidden = self.embedding(tokens)
        if self.position is not None:
            hidden = self.position(hidden, before)
        return self.dropout(self.embedding_norm(hidden))
