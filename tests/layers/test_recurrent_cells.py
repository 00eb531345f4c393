"""The recurrent cells follow the equations of their docstring."""

import torch
from torch import nn


def test_lstm_and_gru_follow_the_equations_of_the_docstring():
    x = torch.randn(1, 6, 3)
    lstm, gru = nn.LSTM(3, 4, batch_first=True), nn.GRU(3, 4, batch_first=True)
    h = c = torch.zeros(4)
    w, u, b = lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0
    for step in x[0]:
        i, f, g, o = (w @ step + u @ h + b).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    torch.testing.assert_close(h, lstm(x)[0][0, -1])
    h = torch.zeros(4)
    for step in x[0]:
        from_input = (gru.weight_ih_l0 @ step + gru.bias_ih_l0).chunk(3)
        from_state = (gru.weight_hh_l0 @ h + gru.bias_hh_l0).chunk(3)
        r, z = (from_input[0] + from_state[0]).sigmoid(), (from_input[1] + from_state[1]).sigmoid()
        n = (from_input[2] + r * from_state[2]).tanh()
        h = (1 - z) * n + z * h
    torch.testing.assert_close(h, gru(x)[0][0, -1])
