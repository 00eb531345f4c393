"""The decoder-only Transformer language model (Radford et al. 2019): each token is predicted from those before it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.networks.attention import TransformerBlock
from quartet.networks.positional_encoding import AddedPosition, RotaryPosition


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
        added = position in ("sinusoidal", "learned")
        self.position = AddedPosition(position, context, width) if added else nn.Identity()
        rotary = RotaryPosition(context, width // heads) if position == "rotary" else None
        self.embedding_norm = nn.RMSNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, position=rotary, dropout=dropout) for _ in range(layers)
        )
        self.output_norm = nn.RMSNorm(width)
        for block in self.blocks:
            # Every block begins as the identity, so that depth does not slow the start.
            nn.init.zeros_(block.attention.output.weight)
            nn.init.zeros_(block.contract.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, steps)` token ids to `(batch, steps, vocabulary)` logits of the token that follows each."""
        hidden = self.dropout(self.embedding_norm(self.position(self.embedding(tokens))))  # (batch, steps, width)
        for block in self.blocks:
            hidden = block(hidden, causal=True)
        return F.linear(self.output_norm(hidden), self.embedding.weight)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two contexts of the first token."""
        return (torch.zeros(2, self.context, dtype=torch.long, device=self.embedding.weight.device),)

    @torch.no_grad()
    def generate(
        self, tokens: Tensor, count: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Continue `(batch, steps)` by `count` sampled tokens; returns `(batch, steps + count)`.

        `temperature` 0 takes the likeliest token each time.
        """
        for _ in range(count):
            logits = self(tokens[:, -self.context :])[:, -1]  # (batch, vocabulary)
            if temperature == 0:
                following = logits.argmax(dim=-1, keepdim=True)
            else:
                probabilities = (logits / temperature).softmax(dim=-1)
                following = torch.multinomial(probabilities, 1, generator=generator)
            tokens = torch.cat([tokens, following], dim=1)
        return tokens
