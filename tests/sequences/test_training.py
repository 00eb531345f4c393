"""The settings of the sequence classifier arrive in its training."""

import pytest
import torch
from torch.nn import functional as F

from quartet.sequences.loading import Sequences
from quartet.sequences.settings import TrainRnn
from quartet.sequences.training.sequence_training import SequenceTraining

INFO = {"classes": ["a", "b"], "input": "numbers", "features": 1, "steps": 3, "mean": [0.0], "std": [1.0]}


@pytest.mark.parametrize(("how", "weights"), [("none", None), ("balanced", [8 / 12, 8 / 4])])
def test_the_cross_entropy_has_the_weights_of_the_classes(how, weights):
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    split = Sequences(torch.randn(24, 1), torch.full((8,), 3), labels)
    settings = TrainRnn(hidden_size=4, layers=1, batch_size=4, class_weights=how)
    task = SequenceTraining(settings, INFO, torch.device("cpu"), seed=0, train=split, held_out=split).task()
    logits = torch.randn(8, 2)
    expected = F.cross_entropy(logits, labels, weight=None if weights is None else torch.tensor(weights))
    torch.testing.assert_close(task.loss_of(lambda inputs: logits, (None, labels)), expected)
