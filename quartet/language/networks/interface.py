"""The interface of networks that model text."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class LanguageModel(nn.Module, ABC):
    """Token ids to logits of the next tokens; reads a text at once or in pieces.

    Attributes:
        context: the most tokens in a window.
        embedding: of the tokens; the output layer shares its weights.
    """

    context: int
    embedding: nn.Embedding

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, steps)` token ids to `(batch, steps, vocabulary)` logits of the next tokens."""

    @abstractmethod
    def begin(self, prompt: Tensor) -> tuple[Tensor, Any]:
        """Read a prompt `(batch, steps)`; returns logits, the last ones for the next token, and the past."""

    @abstractmethod
    def advance(self, tokens: Tensor, past: Any) -> tuple[Tensor, Any]:
        """Read `(batch, steps)` further tokens after those in `past`, whose type depends on the network.

        Returns:
            `(batch, steps, vocabulary)` logits, and the past for the next piece.
        """

    def attention_maps(self, tokens: Tensor) -> list[Tensor]:
        """The attention of each token to each: `(batch, heads, steps, steps)` per block; empty without attention."""
        return []

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two full windows of the first token."""
        return (torch.zeros(2, self.context, dtype=torch.long, device=self.embedding.weight.device),)
