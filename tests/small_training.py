"""A training that takes a moment, for the tests of the loop and of its checkpoints."""

import torch
from torch import nn
from torch.nn import functional as F

from quartet.params.shared import Training
from quartet.training.checkpoints import Checkpoint
from quartet.training.loop import train
from quartet.training.seeding import seed_everything
from quartet.training.task import Task

CPU = torch.device("cpu")
SETTINGS = Training(optimizer="adamw", learning_rate=0.02, batch_size=8)


def task_of(seed, steps=12, at_step=lambda step: None, scores=None):
    """A small regression with dropout and batch normalisation."""
    seed_everything(seed)
    network = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1))
    truth = torch.tensor([1.0, -2.0, 0.5, 3.0])

    def examples_at(number):
        at_step(number)
        return ()

    def batch_of(examples, generator):
        inputs = torch.randn(8, 4, generator=generator)
        return inputs, inputs @ truth

    def loss_of(network, batch):
        return F.mse_loss(network(batch[0])[:, 0], batch[1])

    asked = iter(scores or [])

    @torch.no_grad()
    def validate(network):
        loss = loss_of(network, batch_of((), torch.Generator().manual_seed(1))).item()
        return {"loss": loss, "score": next(asked) if scores else -loss}

    return Task(network, examples_at, batch_of, loss_of, validate, steps=steps, validate_every=4)


def run(task, settings=SETTINGS, seed=0, key="test"):
    checkpoint = Checkpoint("stage", {"key": key})
    outcome = train(task, settings, seed=seed, device=CPU, checkpoint=checkpoint)
    checkpoint.close(finished=True)
    return outcome


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def in_order(outcome):
    """The history with the order of its columns, which is that of `training.csv`."""
    return [list(row.items()) for row in outcome.history]
