"""Self-attention, cross-attention and multi-head attention (Vaswani et al. 2017).

attention(Q, K, V) = softmax(Q Kᵀ / √d) V
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def attention_weights(queries: Tensor, keys: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """How much each query looks at each key: `(…, queries, keys)`, rows summing to one.

    Args:
        queries: `(…, queries, features)`.
        keys: `(…, keys, features)`.
        mask: broadcast to `(…, queries, keys)`, True where looking is allowed.
        causal: a query sees the keys up to its own place alone.
    """
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # (…, queries, keys)
    if causal:
        past = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~past, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1)


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Written out: each query's weighted mean of the values, `(…, queries, features)`.

    The networks use torch's fused `scaled_dot_product_attention`, which a test holds equal to this.
    """
    return attention_weights(queries, keys, mask, causal) @ values


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each over its share of the features.

    Args:
        features: of queries and output; divisible by `heads`.
        heads: attentions side by side.
        context_features: of keys and values; default `features` (self-attention).
        position: applied to queries and keys, such as `RotaryPosition`; default none.
        dropout: after the output projection.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        context_features: int | None = None,
        position: nn.Module | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(features, features, bias=False)
        self.key = nn.Linear(context_features or features, features, bias=False)
        self.value = nn.Linear(context_features or features, features, bias=False)
        self.output = nn.Linear(features, features, bias=False)
        self.position = position
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, context: Tensor | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Attend from `tokens` to `context` (default: to themselves).

        Args:
            tokens: `(batch, steps, features)`.
            context: `(batch, context steps, context features)`.
            mask: `(batch, context steps)`, True at what may be looked at.
            causal: a step sees those up to itself alone.

        Returns:
            `(batch, steps, features)`.
        """
        context = tokens if context is None else context
        queries = self._split(self.query(tokens))  # (batch, heads, steps, head features)
        keys = self._split(self.key(context))  # (batch, heads, context steps, head features)
        values = self._split(self.value(context))
        if self.position is not None:
            queries, keys = self.position(queries), self.position(keys)
        allowed = None if mask is None else mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed, is_causal=causal)
        joined = mixed.transpose(1, 2).flatten(2)  # (batch, steps, features)
        return self.dropout(self.output(joined))

    def _split(self, projected: Tensor) -> Tensor:
        """`(batch, steps, features)` to `(batch, heads, steps, head features)`."""
        return projected.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Attention, then a feed-forward layer, each normalised before and added to what came in (pre-norm)."""

    def __init__(self, features: int, heads: int, *, position: nn.Module | None = None, dropout: float = 0.0):
        super().__init__()
        self.attention_norm = nn.RMSNorm(features)
        self.attention = MultiHeadAttention(features, heads, position=position, dropout=dropout)
        self.feed_forward_norm = nn.RMSNorm(features)
        self.expand = nn.Linear(features, 4 * features, bias=False)
        self.contract = nn.Linear(4 * features, features, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """`(batch, steps, features)` to the same shape; `mask` and `causal` as in `MultiHeadAttention`."""
        tokens = tokens + self.attention(self.attention_norm(tokens), mask=mask, causal=causal)
        # Squared ReLU (So et al. 2021) is cheaper than GELU and no worse.
        hidden = F.relu(self.expand(self.feed_forward_norm(tokens))).square()  # (batch, steps, 4 × features)
        return tokens + self.dropout(self.contract(hidden))
