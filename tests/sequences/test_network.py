"""Recurrent networks: minGRU against its equations, padding that never counts, pooling."""

import pytest
import torch
from networks import build
from torch import nn

from quartet.layers.mingru import MinGru, MinGruLayer, linear_recurrence, parallel_scan, step_by_step

CLASSIFIER = {
    "name": "recurrent",
    "features": 3,
    "classes": 5,
    "hidden_size": 6,
    "layers": 2,
    "bidirectional": True,
    "pooling": "last",
    "dropout": 0.0,
}


@pytest.mark.parametrize("backward", [False, True])
def test_mingru_follows_the_equations_of_the_docstring(backward):
    torch.manual_seed(0)
    layer, x = MinGruLayer(3, 4, backward=backward), torch.randn(7, 2, 3)
    w, b = layer.gate_and_candidate.weight, layer.gate_and_candidate.bias
    h = torch.zeros(2, 4)
    expected = []
    for step in x.flip(0) if backward else x:
        z = (step @ w[:4].T + b[:4]).sigmoid()
        n = step @ w[4:].T + b[4:]
        h = (1 - z) * h + z * n
        expected.append(h)
    torch.testing.assert_close(layer(x), torch.stack(expected[::-1] if backward else expected))


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 13, 100])
def test_the_scan_equals_the_loop_and_does_not_overflow(steps):
    torch.manual_seed(0)
    decay, drive = torch.rand(steps, 2, 3) ** 8, 1e4 * torch.randn(steps, 2, 3)
    decay[0 if steps < 3 else 2] = 0.0
    torch.testing.assert_close(parallel_scan(decay, drive), step_by_step(decay, drive))
    later = torch.cat([decay[1:], torch.zeros_like(decay[:1])])
    backward = parallel_scan(later.flip(0), drive.flip(0)).flip(0)
    torch.testing.assert_close(backward, step_by_step(decay, drive, backward=True))


def test_the_gradient_of_the_recurrence_is_that_of_autograd():
    decay = torch.rand(6, 2, 3, dtype=torch.double, requires_grad=True)
    drive = torch.randn(6, 2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(linear_recurrence, (decay, drive))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "mingru"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_padding_never_changes_a_result(cell, pooling, bidirectional):
    torch.manual_seed(0)
    how = {"cell": cell, "pooling": pooling, "bidirectional": bidirectional}
    network = build({**CLASSIFIER, **how}).eval()
    sequences, lengths = torch.randn(4, 9, 3), torch.tensor([9, 1, 4, 6])
    together = network(sequences, lengths)
    for sequence, length, logits in zip(sequences, lengths, together, strict=True):
        torch.testing.assert_close(network(sequence[None, :length])[0], logits, rtol=1e-4, atol=1e-5)
    sequences[1, 1:] = 1e3
    torch.testing.assert_close(network(sequences, lengths), together)


@pytest.mark.parametrize("cell", ["gru", "mingru"])
def test_tokens_are_embedded(cell):
    network = build({**CLASSIFIER, "cell": cell, "features": None, "vocabulary_size": 11})
    assert network(torch.randint(11, (2, 9)), torch.tensor([9, 3])).shape == (2, 5)


def test_word_dropout_hides_whole_tokens_while_training_only():
    torch.manual_seed(0)
    network = build({**CLASSIFIER, "cell": "gru", "vocabulary_size": 50, "token_dropout": 0.4})
    tokens = torch.randint(50, (4, 200))
    seen = []
    network.recurrent.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(tokens)
    hidden = (seen[0] == 0).all(dim=2)
    assert hidden.float().mean().item() == pytest.approx(0.4, abs=0.06)
    assert torch.equal((seen[0] == 0).any(dim=2), hidden)
    network.eval()(tokens)
    assert torch.equal(seen[1], network.embedding(tokens))


def test_mingru_is_called_as_torchs_modules_are():
    ours, theirs = MinGru(3, 4, 2, bidirectional=True), nn.GRU(3, 4, 2, bidirectional=True, batch_first=True)
    x = torch.randn(2, 7, 3)
    assert ours(x)[0].shape == theirs(x)[0].shape


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_recurrent_classifiers_give_a_logit_per_class(cell, bidirectional):
    arguments = {"features": 3, "classes": 5, "hidden_size": 6, "layers": 2, "pooling": "last", "dropout": 0.1}
    network = build({"name": "recurrent", "cell": cell, "bidirectional": bidirectional, **arguments})
    assert network(torch.randn(2, 9, 3)).shape == (2, 5)
