"""The recurrent classifier: it reads a sequence step by step and classifies its hidden states.

The equations of its cells are in `layers/recurrent_cells.py`.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from quartet.layers.mingru import MinGru
from quartet.layers.recurrent_cells import CELLS


class RecurrentClassifier(nn.Module):
    """A stack of recurrent layers, pooling over the steps, and a linear classifier.

    Args:
        features: numbers per step; None if the steps are tokens.
        vocabulary_size: of the tokens; None if the steps are numbers.
        classes: number of logits.
        cell: `rnn`, `lstm` or `gru`, torch's fused modules, or `mingru`.
        hidden_size: units per layer and direction, and features of a token.
        layers: stacked layers.
        bidirectional: read the sequence in both directions.
        pooling: `last` takes each direction's last state, `mean` and `max` the mean or maximum over all steps.
        dropout: between layers and before the classifier.
        token_dropout: share of the tokens that are zeroed in training (word dropout, Iyyer et al. 2015).
    """

    def __init__(
        self,
        *,
        classes: int,
        cell: str,
        hidden_size: int,
        layers: int,
        bidirectional: bool,
        pooling: str,
        dropout: float,
        token_dropout: float = 0.0,
        features: int | None = None,
        vocabulary_size: int | None = None,
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size) if vocabulary_size else None
        self.recurrent = CELLS[cell](
            hidden_size if vocabulary_size else features,
            hidden_size,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.hidden_size, self.bidirectional, self.pooling = hidden_size, bidirectional, pooling
        self.token_dropout = nn.Dropout1d(token_dropout)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size * (2 if bidirectional else 1), classes)

    def forward(self, sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Sequences to `(batch, classes)` logits.

        Args:
            sequences: `(batch, steps, features)` numbers or `(batch, steps)` token ids, padded at the end.
            lengths: `(batch,)` steps of each sequence, without padding; None if nothing is padded.
        """
        return self.classifier(self.dropout(self.pooled(self.states(sequences, lengths), lengths)))

    def states(self, sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The last layer's state at each step, `(batch, steps, directions · hidden)`; zero after a sequence's end."""
        inputs = sequences if self.embedding is None else self.token_dropout(self.embedding(sequences))
        if lengths is None:
            return self.recurrent(inputs)[0]
        if isinstance(self.recurrent, MinGru):
            return self.recurrent(inputs, lengths)[0]
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=inputs.shape[1])[0]

    def pooled(self, states: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool the states of all steps into one per sequence, `(batch, directions · hidden)`."""
        if lengths is None:
            lengths = torch.full((len(states),), states.shape[1], device=states.device)
        if self.pooling == "last":
            ends = states[torch.arange(len(states), device=states.device), lengths - 1, : self.hidden_size]
            # The backward direction finishes at the first step.
            return torch.cat([ends, states[:, 0, self.hidden_size :]], dim=1)
        inside = (torch.arange(states.shape[1], device=states.device) < lengths[:, None])[..., None]
        if self.pooling == "mean":
            return (states * inside).sum(dim=1) / lengths[:, None]
        return states.masked_fill(~inside, -torch.inf).amax(dim=1)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two sequences of eight steps of zeros."""
        device = self.classifier.weight.device
        if self.embedding is not None:
            return (torch.zeros(2, 8, dtype=torch.long, device=device),)
        return (torch.zeros(2, 8, self.recurrent.input_size, device=device),)
