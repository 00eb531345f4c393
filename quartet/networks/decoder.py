"""The decoder-only Transformer language model (Radford et al. 2019): each token is predicted from those before it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.networks.attention import KeyValues, TransformerBlock
from quartet.networks.positional_encoding import positions


class Decoder(nn.Module):
    """Causal Transformer whose output layer shares the token embedding's weights.

    Args:
        vocabulary_size: number of tokens.
        context: most tokens that are seen at once.
        width: features per token.
        layers: Transformer blocks.
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
        self.context = context
        self.embedding = nn.Embedding(vocabulary_size, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.position, rotary = positions(position, context, width, heads)
        self.embedding_norm = nn.RMSNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, position=rotary, dropout=dropout) for _ in range(layers)
        )
        self.output_norm = nn.RMSNorm(width)
        for block in self.blocks:
            # Every block begins as the identity, so that depth does not slow the start.
            nn.init.zeros_(block.attention.output.weight)
            nn.init.zeros_(block.feed_forward.contract.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, steps)` token ids to `(batch, steps, vocabulary)` logits of the token that follows each."""
        return self.advance(tokens)[0]

    def begin(self, prompt: Tensor) -> tuple[Tensor, list[KeyValues]]:
        """Read `(batch, steps)`; `advance` by one piece, from nothing."""
        return self.advance(prompt)

    def advance(self, tokens: Tensor, past: list[KeyValues] | None = None) -> tuple[Tensor, list[KeyValues]]:
        """Read on: `(batch, steps)` further tokens after those that made `past`, at most `context` in all.

        Returns:
            `(batch, steps, vocabulary)` logits, and what the next piece needs of the past, an item per block.
        """
        hidden, seen = self._embedded(tokens, past[0].keys.shape[2] if past else 0), []
        for number, block in enumerate(self.blocks):
            hidden, offered = block.causal(hidden, past[number] if past else None)
            seen.append(offered)
        return F.linear(self.output_norm(hidden), self.embedding.weight), seen

    def attention_maps(self, tokens: Tensor) -> list[Tensor]:
        """How much each token looks at each: `(batch, heads, steps, steps)` of every block."""
        hidden, maps = self._embedded(tokens, 0), []
        for block in self.blocks:
            maps.append(block.attention.weights(block.attention_norm(hidden), causal=True))
            hidden, _ = block.causal(hidden)
        return maps

    def _embedded(self, tokens: Tensor, before: int) -> Tensor:
        """`(batch, steps)` ids, after `before` others, to `(batch, steps, width)`."""
        hidden = self.embedding(tokens)
        if self.position is not None:
            hidden = self.position(hidden, before)
        return self.dropout(self.embedding_norm(hidden))

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two contexts of the first token."""
        return (torch.zeros(2, self.context, dtype=torch.long, device=self.embedding.weight.device),)
