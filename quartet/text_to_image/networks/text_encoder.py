"""The text encoder: a small Transformer that reads a caption in both directions."""

import torch
from torch import Tensor, nn

from quartet.layers.attention import Stack, TransformerBlock
from quartet.layers.positional_encoding import AddedPosition


class TextEncoder(nn.Module):
    """Word ids to one vector per word.

    Args:
        vocabulary_size: number of word ids; id 0 is padding.
        words: longest caption.
        width: features per word.
        layers: Transformer blocks.
        heads: attention heads per block.
    """

    def __init__(self, *, vocabulary_size: int, words: int, width: int, layers: int, heads: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.position = AddedPosition("sinusoidal", words, width)
        self.blocks = Stack(TransformerBlock(width, heads) for _ in range(layers))
        self.output_norm = nn.RMSNorm(width)

    def forward(self, captions: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, words)` ids to `(batch, words, width)` vectors and the `(batch, words)` mask of real words."""
        mask = captions != 0
        hidden = self.position(self.embedding(captions))
        for block in self.blocks:
            hidden = block(hidden, mask=mask)
        return self.output_norm(hidden), mask


def without_caption(captions: Tensor) -> Tensor:
    """Captions reduced to their start token, for unconditional prediction: `(batch, words)`."""
    return torch.cat([captions[:, :1], torch.zeros_like(captions[:, 1:])], dim=1)
