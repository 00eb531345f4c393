"""Self-attention, cross-attention and multi-head attention (Vaswani et al. 2017), and the key-value cache.

attention(Q, K, V) = softmax(Q Kᵀ / √d) V
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def attention_weights(queries: Tensor, keys: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """The attention of each query to each key: `(…, queries, keys)`, rows summing to one.

    Args:
        queries: `(…, queries, features)`.
        keys: `(…, keys, features)`.
        mask: broadcast to `(…, queries, keys)`, True where attention is allowed.
        causal: each query attends only to the keys up to its own position.
    """
    scores = (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-2, -1)  # (…, queries, keys)
    if causal:
        future = torch.full(scores.shape[-2:], -math.inf, dtype=scores.dtype, device=scores.device).triu(1)
        scores = scores + future
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1)


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Each query's weighted mean of the values, `(…, queries, features)`, without a fused kernel."""
    return attention_weights(queries, keys, mask, causal) @ values


def fastest_attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """`attention`, computed by torch's fused `scaled_dot_product_attention` unless that is slower.

    It is slower in training on a CPU: at short lengths its backward pass takes two to four times as long.
    """
    if queries.device.type == "cpu" and queries.requires_grad and keys.shape[-2] <= 512:
        return attention(queries, keys, values, mask, causal)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal)


@dataclasses.dataclass(frozen=True)
class KeyValues:
    """The keys and values of a sequence; those of the steps already read are the key-value cache."""

    keys: Tensor  # (batch, heads, steps, head features)
    values: Tensor


class MultiHeadAttention(nn.Module):
    """Several attention heads side by side, each with an equal share of the features.

    Args:
        features: of queries and output; divisible by `heads`.
        heads: number of attention heads.
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

    def forward(self, tokens: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Attend from `tokens` to `context`; by default to `tokens` themselves, in both directions.

        Args:
            tokens: `(batch, steps, features)`.
            context: `(batch, context steps, context features)`.
            mask: `(batch, context steps)`, True where attention is allowed.

        Returns:
            `(batch, steps, features)`.
        """
        queries = self._split(self.query(tokens))  # (batch, heads, steps, head features)
        key_values = self.keys_and_values(tokens if context is None else context)
        if self.position is not None:
            queries, key_values = self.position(queries), KeyValues(self.position(key_values.keys), key_values.values)
        return self._mixed(queries, key_values, mask=None if mask is None else mask[:, None, None, :])

    def causal(self, tokens: Tensor, past: KeyValues | None = None) -> tuple[Tensor, KeyValues]:
        """Causal self-attention: each step attends only to the steps up to itself.

        Args:
            tokens: `(batch, steps, features)`.
            past: the keys and values of the steps before them (the key-value cache), default none.

        Returns:
            `(batch, steps, features)`, and the keys and values of all steps so far. Reading a text in pieces gives the
            same result as reading it at once.
        """
        queries, own = self._split(self.query(tokens)), self.keys_and_values(tokens)
        past_steps = 0 if past is None else past.keys.shape[2]
        if self.position is not None:
            queries, keys = self.position(torch.stack([queries, own.keys]), past_steps)  # together: half the operations
            own = KeyValues(keys, own.values)
        if past is None:
            return self._mixed(queries, own, causal=True), own
        key_values = KeyValues(torch.cat([past.keys, own.keys], dim=2), torch.cat([past.values, own.values], dim=2))
        steps, mask = tokens.shape[1], None  # a single step attends to everything
        if steps > 1:
            mask = torch.ones(steps, past_steps + steps, dtype=torch.bool, device=tokens.device).tril(past_steps)
        return self._mixed(queries, key_values, mask=mask), key_values

    def cross(self, tokens: Tensor, key_values: KeyValues, mask: Tensor | None = None) -> Tensor:
        """Attend from `tokens` `(batch, steps, features)` to the keys and values of another sequence.

        `mask` is `(batch, context steps)`, True where attention is allowed.
        """
        allowed = None if mask is None else mask[:, None, None, :]
        return self._mixed(self._split(self.query(tokens)), key_values, mask=allowed)

    def cross_weights(self, tokens: Tensor, key_values: KeyValues) -> Tensor:
        """The attention of `tokens` to each step of another sequence: `(batch, heads, steps, context steps)`."""
        return attention_weights(self._split(self.query(tokens)), key_values.keys)

    def keys_and_values(self, context: Tensor) -> KeyValues:
        """The keys and values of `context` `(batch, steps, context features)`."""
        return KeyValues(self._split(self.key(context)), self._split(self.value(context)))

    def weights(self, tokens: Tensor, *, causal: bool) -> Tensor:
        """The self-attention of each step to each step: `(batch, heads, steps, steps)`."""
        queries, keys = self._split(self.query(tokens)), self._split(self.key(tokens))
        if self.position is not None:
            queries, keys = self.position(queries), self.position(keys)
        return attention_weights(queries, keys, causal=causal)

    def _mixed(
        self, queries: Tensor, key_values: KeyValues, *, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        # (batch, heads, steps, head features)
        mixed = fastest_attention(queries, key_values.keys, key_values.values, mask, causal)
        return self.dropout(self.output(mixed.transpose(1, 2).flatten(2)))

    def _split(self, projected: Tensor) -> Tensor:
        """`(batch, steps, features)` to `(batch, heads, steps, head features)`."""
        return projected.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, applied to each step."""

    def __init__(self, features: int, dropout: float = 0.0):
        super().__init__()
        self.expand = nn.Linear(features, 4 * features, bias=False)
        self.contract = nn.Linear(4 * features, features, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, steps, features)` to the same shape."""
        # Squared ReLU (So et al. 2021) is cheaper than GELU and no worse.
        hidden = F.relu(self.expand(tokens)).square()  # (batch, steps, 4 × features)
        return self.dropout(self.contract(hidden))


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer, pre-norm with residuals."""

    def __init__(self, features: int, heads: int, *, position: nn.Module | None = None, dropout: float = 0.0):
        super().__init__()
        self.attention_norm = nn.RMSNorm(features)
        self.attention = MultiHeadAttention(features, heads, position=position, dropout=dropout)
        self.feed_forward_norm = nn.RMSNorm(features)
        self.feed_forward = FeedForward(features, dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """`(batch, steps, features)` to the same shape; `mask` as in `MultiHeadAttention`."""
        tokens = tokens + self.attention(self.attention_norm(tokens), mask=mask)
        return tokens + self.feed_forward(self.feed_forward_norm(tokens))


Block = TypeVar("Block", bound=nn.Module)


class Stack(nn.ModuleList, Generic[Block]):
    """A `ModuleList` whose type says what kind of blocks it holds."""

    if TYPE_CHECKING:

        def __init__(self, blocks: Iterable[Block]): ...

        def __iter__(self) -> Iterator[Block]: ...
