"""Recurrent networks: the plain (tanh) cell, the LSTM and the GRU, read over a sequence to classify it.

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
"""

import torch
from torch import Tensor, nn

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentClassifier(nn.Module):
    """A stack of recurrent layers whose last state, of both directions if there are two, is classified.

    Args:
        features: inputs per step.
        classes: number of logits.
        cell: `rnn`, `lstm` or `gru`, torch's fused modules.
        hidden_size: units per layer and direction.
        layers: stacked layers.
        bidirectional: read the sequence both ways.
        dropout: between layers and before the classifier.
    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        cell: str,
        hidden_size: int,
        layers: int,
        bidirectional: bool,
        dropout: float,
    ):
        super().__init__()
        self.recurrent = CELLS[cell](
            features,
            hidden_size,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.hidden_size, self.bidirectional = hidden_size, bidirectional
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size * (2 if bidirectional else 1), classes)

    def forward(self, sequences: Tensor) -> Tensor:
        """`(batch, steps, features)` to `(batch, classes)` logits."""
        states, _ = self.recurrent(sequences)  # (batch, steps, directions × hidden)
        last = states[:, -1, : self.hidden_size]
        if self.bidirectional:
            # The backward direction ends its reading at the first step.
            last = torch.cat([last, states[:, 0, self.hidden_size :]], dim=1)
        return self.classifier(self.dropout(last))

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two sequences of eight steps of zeros."""
        return (self.classifier.weight.new_zeros(2, 8, self.recurrent.input_size),)
