"""Every token of a text is scored once: against a model whose costs are known, a table of pairs."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from quartet.datasets.tokenizers import train_tokenizer
from quartet.language.scoring import score_stream, validation_scores

VOCABULARY = 256
TOKENIZER = train_tokenizer("byte", ["x"], VOCABULARY)


class Bigrams(nn.Module):
    """Predicts each token from the one before it alone, so that windows make no difference."""

    context = 6

    def __init__(self):
        super().__init__()
        self.table = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 3

    def forward(self, tokens):
        return self.table[tokens]


def expected(network, stream):
    before = [TOKENIZER.encode("\n").ids[0], *stream[:-1]]
    log_probabilities = network.table.log_softmax(dim=1)[before]  # (tokens, vocabulary)
    costs = -log_probabilities[torch.arange(len(stream)), torch.tensor(stream)]
    ranks = (log_probabilities > -costs[:, None]).sum(dim=1)
    return costs.numpy(), log_probabilities.argmax(dim=1).numpy(), ranks.numpy()


@pytest.mark.parametrize("length", [1, 5, 6, 7, 50])
@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_costs_predictions_and_ranks_are_those_of_the_model(length, sliding, batch_size):
    network, stream = Bigrams(), np.random.default_rng(1).integers(0, VOCABULARY, length).tolist()
    found = score_stream(network, np.array(stream), TOKENIZER, batch_size, torch.device("cpu"), sliding=sliding)
    costs, predicted, ranks = expected(network, stream)
    np.testing.assert_allclose(found["token_nats"], costs, rtol=1e-5)
    assert found["nats"] == pytest.approx(costs.sum(), rel=1e-6)
    assert found["predicted"].tolist() == predicted.tolist()
    assert found["right"] == (ranks == 0).sum() and found["right_in_5"] == (ranks < 5).sum()


def test_validation_is_the_mean_cost_and_bits_per_byte():
    network, stream = Bigrams(), np.arange(40)
    scores = validation_scores(network, stream, TOKENIZER, 80, torch.device("cpu"))
    costs, _, _ = expected(network, stream.tolist())
    assert scores["loss"] == pytest.approx(costs.mean(), rel=1e-5)
    assert scores["bits_per_byte"] == pytest.approx(costs.sum() / math.log(2) / 80, rel=1e-5)
    assert scores["score"] == -scores["bits_per_byte"]
