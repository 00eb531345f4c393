"""What is asked of every network that models text."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class LanguageModel(nn.Module, ABC):
    """Token ids to logits of the token that follows each; reads a text at once or piece by piece.

    Attributes:
        context: most tokens that are seen at once.
        embedding: of the tokens; the output layer shares its weights.
    """

    context: int
    embedding: nn.Embedding

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, steps)` token ids to `(batch, steps, vocabulary)` logits of the token that follows each."""

    @abstractmethod
    def begin(self, prompt: Tensor) -> tuple[Tensor, Any]:
        """Read `(batch, steps)`; logits, the last of which are those of what follows, and the past for `advance`."""

    @abstractmethod
    def advance(self, tokens: Tensor, past: Any) -> tuple[Tensor, Any]:
        """Read on: `(batch, steps)` further tokens after those that made `past`, which each network makes in its way.

        Returns:
            `(batch, steps, vocabulary)` logits, and the past of the next piece.
        """

    def attention_maps(self, tokens: Tensor) -> list[Tensor]:
        """How much each token looks at each: `(batch, heads, steps, steps)` of every block; none without attention."""
        return []

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two contexts of the first token."""
        return (torch.zeros(2, self.context, dtype=torch.long, device=self.embedding.weight.device),)
