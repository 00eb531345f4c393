"""How a recurrent network is looked into."""

import pytest
import torch
from torch import nn

from quartet.sequences.hidden_states import accuracy_by_tenths_read, gradient_reach, trajectories
from quartet.sequences.loading import Sequences
from quartet.sequences.networks.recurrent import RecurrentClassifier

INFO = {"input": "numbers", "mean": [0.0], "std": [1.0]}


class KnowsAtOne(nn.Module):
    """Says class 1 once a 1 has come."""

    def forward(self, sequences, lengths=None):
        came = (sequences[..., 0] == 1).any(dim=1)
        return torch.stack([~came, came], dim=1).float()


def test_accuracy_rises_when_the_telling_step_is_read():
    # Twenty sequences of ten steps; those of class 1 hold a 1 at their sixth step.
    values, labels = torch.zeros(20, 10, 1), torch.arange(20) % 2
    values[labels == 1, 5] = 1
    sequences = Sequences(values.reshape(200, 1), torch.full((20,), 10), labels)
    assert accuracy_by_tenths_read(KnowsAtOne(), sequences, INFO, 8) == [0.5] * 5 + [1.0] * 5


@pytest.mark.parametrize("hidden_size", [1, 5])
def test_trajectories_have_a_point_per_step(hidden_size):
    how = {"cell": "lstm", "layers": 1, "bidirectional": True, "pooling": "last", "dropout": 0.0}
    network = RecurrentClassifier(features=2, classes=3, hidden_size=hidden_size, **how)
    paths = trajectories(network, torch.randn(3, 7, 2), torch.tensor([7, 2, 5]))
    assert [path.shape for path in paths] == [(7, 2), (2, 2), (5, 2)]


def test_the_gradient_vanishes_and_less_so_through_gates():
    size = {"steps": 30, "features": 4, "hidden_size": 16, "seed": 0}
    plain, gated = gradient_reach("rnn", **size), gradient_reach("lstm", **size)
    assert plain[-1] == gated[-1] == 1.0 and plain[0] < 1e-3 and plain[10] < gated[10]
