"""The recurrent language model (Mikolov et al. 2010; Zaremba et al. 2014): LSTM or GRU, next-token prediction."""

from torch import Tensor, nn
from torch.nn import functional as F

from quartet.language.networks.interface import LanguageModel
from quartet.layers.recurrent_cells import CELLS


class RecurrentLanguageModel(LanguageModel):
    """Recurrent layers whose output layer shares the token embedding's weights.

    Args:
        vocabulary_size: number of tokens.
        context: tokens per window in training and scoring; the hidden state itself has no limit.
        width: features per token and units per layer.
        layers: stacked recurrent layers.
        cell: `lstm` or `gru`; `layers/recurrent_cells.py` has their equations.
        dropout: after the embedding, between layers and before the output.
    """

    def __init__(self, *, vocabulary_size: int, context: int, width: int, layers: int, cell: str, dropout: float):
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(vocabulary_size, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.embedding_norm = nn.RMSNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = CELLS[cell](width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.output_norm = nn.RMSNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, steps)` token ids to `(batch, steps, vocabulary)` logits of the next tokens."""
        return self.advance(tokens)[0]

    def begin(self, prompt: Tensor) -> tuple[Tensor, object]:
        """Read a prompt `(batch, steps)`; the same as `advance` without a past."""
        return self.advance(prompt)

    def advance(self, tokens: Tensor, past: object = None) -> tuple[Tensor, object]:
        """Read `(batch, steps)` further tokens; `past` is the hidden state after the earlier ones.

        Returns:
            `(batch, steps, vocabulary)` logits, and the new hidden state.
        """
        hidden = self.dropout(self.embedding_norm(self.embedding(tokens)))  # (batch, steps, width)
        states, past = self.recurrent(hidden, past)
        # Below autocast the cells answer in bfloat16, which torch's norm takes, slowly, with weights in float32.
        states = self.output_norm(self.dropout(states).to(self.output_norm.weight.dtype))
        return F.linear(states, self.embedding.weight), past
