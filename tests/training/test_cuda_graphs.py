"""A replayed step on a GPU is the step itself."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from quartet.params.sections import Training
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.cuda_graphs import Replayed
from quartet.training.loop import Task, train
from quartet.training.seeding import seed_everything

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "muon"])
def test_replaying_trains_to_the_same_bytes(optimizer):
    device, weights = torch.device("cuda"), []
    settings = Training(optimizer=optimizer, learning_rate=0.01, batch_size=8, accumulate=2)
    for replayable in (False, True):
        seed_everything(0)
        layers = nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1)
        network = nn.Sequential(*layers).to(device)

        def batch_at(step, generator):
            inputs = torch.randn(8, 4, generator=generator, device=device)
            return inputs, inputs.sum(dim=1)

        def loss_of(network, batch):
            return F.mse_loss(network(batch[0])[:, 0], batch[1])

        task = Task(network, batch_at, loss_of, lambda network: {"score": 0.0}, 20, 10, replayable)
        outcome = train(task, settings, seed=0, device=device, checkpoint=NoCheckpoint())
        weights.append(outcome.weights)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_batch_of_another_shape_is_not_replayed():
    weight = torch.zeros(3, device="cuda")

    def step(batches):
        weight.add_(batches[0][0].sum(dim=0))
        return weight.sum()

    replayed = Replayed(step)
    for rows in (2, 2, 2, 2, 5, 2):
        replayed([(torch.ones(rows, 3, device="cuda"),)])
    assert weight.tolist() == [15.0] * 3
