"""Recurrent networks: the plain (tanh) cell, the LSTM, the GRU and the minGRU, read over a sequence to classify it.

With `x_t` the input and `h_t` the hidden state at step t, σ the logistic function, ⊙ the elementwise product:

RNN (Elman 1990)
    h_t = tanh(W x_t + U h_{t-1} + b)

LSTM (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000)
    i_t = σ(W_i x_t + U_i h_{t-1} + b_i)        input gate
    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)        forget gate
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)     cell candidate
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)        output gate
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t             cell state
    h_t = o_t ⊙ tanh(c_t)

GRU (Cho et al. 2014)
    r_t = σ(W_r x_t + U_r h_{t-1} + b_r)        reset gate
    z_t = σ(W_z x_t + U_z h_{t-1} + b_z)        update gate
    n_t = tanh(W_n x_t + b_n + r_t ⊙ (U_n h_{t-1} + b_hn))   candidate
    h_t = (1 − z_t) ⊙ n_t + z_t ⊙ h_{t-1}

minGRU (Feng et al. 2024): see `mingru.py`.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from quartet.networks.mingru import MinGru

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU, "mingru": MinGru}


class RecurrentClassifier(nn.Module):
    """A stack of recurrent layers whose states, pooled over the steps, are classified.

    Args:
        features: numbers per step; None if the steps are tokens.
        vocabulary_size: of the tokens; None if the steps are numbers.
        classes: number of logits.
        cell: `rnn`, `lstm` or `gru`, torch's fused modules, or `mingru`.
        hidden_size: units per layer and direction, and features of a token.
        layers: stacked layers.
        bidirectional: read the sequence both ways.
        pooling: `last` takes each direction's last state, `mean` and `max` those over all steps.
        dropout: between layers and before the classifier.
        token_dropout: share of the tokens whose features are zero while training (word dropout, Iyyer et al. 2015).
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
            sequences: `(batch, steps, features)` numbers or `(batch, steps)` token ids, padded at their ends.
            lengths: `(batch,)` steps of each sequence; all of them if None. What lies behind never counts.
        """
        return self.classifier(self.dropout(self.pooled(self.states(sequences, lengths), lengths)))

    def states(self, sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The last layer's state at each step, `(batch, steps, directions · hidden)`; zero behind a sequence's end."""
        inputs = sequences if self.embedding is None else self.token_dropout(self.embedding(sequences))
        if lengths is None:
            return self.recurrent(inputs)[0]
        if isinstance(self.recurrent, MinGru):
            return self.recurrent(inputs, lengths)[0]
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=inputs.shape[1])[0]

    def pooled(self, states: Tensor, lengths: Tensor | None = None) -> Tensor:
        """States of all steps to one per sequence, `(batch, directions · hidden)`."""
        if lengths is None:
            lengths = torch.full((len(states),), states.shape[1], device=states.device)
        if self.pooling == "last":
            ends = states[torch.arange(len(states), device=states.device), lengths - 1, : self.hidden_size]
            # The backward direction ends its reading at the first step.
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
