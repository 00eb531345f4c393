"""Recurrent cells, by their names in the settings: the plain (tanh) cell, the LSTM, the GRU and the minGRU.

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

from collections.abc import Callable

from torch import nn

from quartet.layers.mingru import MinGru

CELLS: dict[str, Callable[..., nn.RNNBase | MinGru]] = {
    "rnn": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "mingru": MinGru,
}
