"""The decoder-only Transformer language model (Radford et al. 2019): it predicts each token from those before it."""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.language.networks.interface import LanguageModel
from quartet.language.networks.ngram_embedding import NgramEmbedding
from quartet.language.networks.short_convolution import ShortConvolution
from quartet.layers.attention import FeedForward, KeyValues, MultiHeadAttention, Stack
from quartet.layers.positional_encoding import positions


@dataclasses.dataclass(frozen=True)
class BlockPast:
    """A block's cache of the tokens that it has read."""

    cache: KeyValues  # the key-value cache
    attended: Tensor  # (batch, reach, features) the last inputs of the convolution before attention
    fed: Tensor  # (batch, reach, features) the last inputs of the convolution before the feed-forward layer


@dataclasses.dataclass(frozen=True)
class Past:
    """A decoder's cache of the tokens that it has read."""

    blocks: list[BlockPast]
    last: Tensor  # (batch, reach) the last token ids, for the n-grams


class CausalBlock(nn.Module):
    """Causal self-attention and a feed-forward layer, each after normalisation and a short convolution, with residuals.

    Args:
        features: per token.
        heads: of attention.
        position: applied to queries and keys; default none.
        dropout: after attention and feed-forward.
        reach: how many previous tokens the convolutions use.
    """

    def __init__(self, features: int, heads: int, *, position: nn.Module | None, dropout: float, reach: int):
        super().__init__()
        self.attention_norm = nn.RMSNorm(features)
        self.attention_convolution = ShortConvolution(features, reach)
        self.attention = MultiHeadAttention(features, heads, position=position, dropout=dropout)
        self.feed_forward_norm = nn.RMSNorm(features)
        self.feed_forward_convolution = ShortConvolution(features, reach)
        self.feed_forward = FeedForward(features, dropout)
        # Each block starts as the identity, so that deep networks learn as fast at the start.
        nn.init.zeros_(self.attention.output.weight)
        nn.init.zeros_(self.feed_forward.contract.weight)

    def forward(self, tokens: Tensor, past: BlockPast | None = None) -> tuple[Tensor, BlockPast]:
        """`(batch, steps, features)` to the same shape, and the cache for the next piece of the text."""
        mixed, attended = self.attention_convolution(self.attention_norm(tokens), past.attended if past else None)
        found, cache = self.attention.causal(mixed, past.cache if past else None)
        tokens = tokens + found
        mixed, fed = self.feed_forward_convolution(self.feed_forward_norm(tokens), past.fed if past else None)
        return tokens + self.feed_forward(mixed), BlockPast(cache, attended, fed)

    def attention_weights(self, tokens: Tensor) -> Tensor:
        """The attention of each step to each step: `(batch, heads, steps, steps)`."""
        return self.attention.weights(self.attention_convolution(self.attention_norm(tokens))[0], causal=True)


class Decoder(LanguageModel):
    """Causal Transformer whose output layer shares the token embedding's weights.

    Args:
        vocabulary_size: number of tokens.
        context: the most tokens in a window.
        width: features per token.
        layers: Transformer blocks.
        heads: attention heads per block.
        position: `rotary`, `sinusoidal`, `learned` or `none`.
        dropout: after embedding, attention and feed-forward.
        ngrams: rows of each table of `NgramEmbedding`, which is added to the token embedding; 0 for none.
        convolution: how many previous tokens the blocks' short convolutions use; 0 for none.
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
        ngrams: int = 0,
        convolution: int = 0,
    ):
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(vocabulary_size, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.ngrams = NgramEmbedding(ngrams, width) if ngrams else None
        self.position, rotary = positions(position, context, width, heads)
        self.embedding_norm = nn.RMSNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = Stack(
            CausalBlock(width, heads, position=rotary, dropout=dropout, reach=convolution) for _ in range(layers)
        )
        self.output_norm = nn.RMSNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, steps)` token ids to `(batch, steps, vocabulary)` logits of the next tokens."""
        return self.advance(tokens)[0]

    def begin(self, prompt: Tensor) -> tuple[Tensor, Past]:
        """Read a prompt `(batch, steps)`; the same as `advance` without a past."""
        return self.advance(prompt)

    def advance(self, tokens: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """Read `(batch, steps)` further tokens after those in `past`, at most `context` in all.

        Returns:
            `(batch, steps, vocabulary)` logits, and the past for the next piece.
        """
        hidden, last = self._embedded(tokens, past)
        blocks = []
        for number, block in enumerate(self.blocks):
            hidden, kept = block(hidden, past.blocks[number] if past else None)
            blocks.append(kept)
        return F.linear(self.output_norm(hidden), self.embedding.weight), Past(blocks, last)

    def attention_maps(self, tokens: Tensor) -> list[Tensor]:
        """The attention of each token to each token: `(batch, heads, steps, steps)` per block."""
        hidden, maps = self._embedded(tokens, None)[0], []
        for block in self.blocks:
            maps.append(block.attention_weights(hidden))
            hidden, _ = block(hidden)
        return maps

    def _embedded(self, tokens: Tensor, past: Past | None) -> tuple[Tensor, Tensor]:
        """`(batch, steps)` ids to `(batch, steps, width)`, and the last ids for the next piece."""
        hidden = self.embedding(tokens)
        reach = self.ngrams.reach if self.ngrams is not None else 0
        before = past.last if past else tokens.new_zeros(len(tokens), reach)
        if self.ngrams is not None:
            hidden = hidden + self.ngrams(tokens, before)
        if self.position is not None:
            hidden = self.position(hidden, past.blocks[0].cache.keys.shape[2] if past else 0)
        last = torch.cat([before, tokens], dim=1)[:, before.shape[1] + tokens.shape[1] - reach :]
        return self.dropout(self.embedding_norm(hidden)), last
