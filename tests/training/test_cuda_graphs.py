"""A replayed step on a GPU is the step itself."""

import dataclasses
import functools

import pytest
import torch
from family_plans import image_plan, text_to_image_plan
from torch import nn
from torch.nn import functional as F

from quartet.params.shared import Training
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.cuda_graphs import ReplayedStep
from quartet.training.loop import train
from quartet.training.seeding import seed_everything
from quartet.training.task import Task

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "muon"])
def test_replaying_trains_to_the_same_bytes(optimizer):
    device, weights = torch.device("cuda"), []
    settings = Training(optimizer=optimizer, learning_rate=0.01, batch_size=8, accumulate=2)
    for replayable in (False, True):
        seed_everything(0)
        layers = nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1)
        network = nn.Sequential(*layers).to(device)

        def examples_at(number):
            return (torch.full((8, 4), number / 20, device=device),)

        def batch_of(examples, generator):
            inputs = examples[0] + torch.randn(8, 4, generator=generator, device=device)
            return inputs, inputs.sum(dim=1)

        def loss_of(network, batch):
            return F.mse_loss(network(batch[0])[:, 0], batch[1])

        task = Task(network, examples_at, batch_of, loss_of, lambda network: {"score": 0.0}, 20, 10, replayable)
        outcome = train(task, settings, seed=0, device=device, checkpoint=NoCheckpoint())
        weights.append(outcome.weights)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    "plan_of",
    [
        functools.partial(image_plan, width=8),
        functools.partial(text_to_image_plan, precision="bfloat16", objective="flow"),
        functools.partial(text_to_image_plan, precision="bfloat16", objective="epsilon", noise_schedule="linear"),
        functools.partial(text_to_image_plan, precision="bfloat16", objective="v", noise_schedule="cosine"),
    ],
    ids=["images", "flow", "epsilon", "v"],
)
def test_a_familys_batches_are_made_in_the_recording(family_data, plan_of):
    outcomes = []
    for replayable in (False, True):
        seed_everything(0)
        settings, plan = plan_of(family_data, torch.device("cuda"), images="colour", dropout=0.1)
        task = dataclasses.replace(plan.task, steps=12, validate_every=12, replayable=replayable)
        outcomes.append(train(task, settings, seed=0, device=torch.device("cuda"), checkpoint=NoCheckpoint()))
    eager, replayed = (outcome.weights for outcome in outcomes)
    for name in eager:
        torch.testing.assert_close(replayed[name], eager[name], rtol=1e-3, atol=1e-4)
    assert outcomes[0].history[0]["training_loss"] == pytest.approx(outcomes[1].history[0]["training_loss"], rel=1e-4)


def test_a_batch_of_another_shape_is_not_replayed():
    weight = torch.zeros(3, device="cuda")

    def step(batches):
        weight.add_(batches[0][0].sum(dim=0))
        return weight.sum()

    replayed = ReplayedStep(step, torch.Generator("cuda"))
    for rows in (2, 2, 2, 2, 5, 2):
        replayed([(torch.ones(rows, 3, device="cuda"),)])
    assert weight.tolist() == [15.0] * 3


def test_a_replayed_training_goes_back_to_the_bytes_of_a_smaller_rate():
    """A recording holds the places of the optimizer's state, so another is made after each rollback."""
    device, outcomes = torch.device("cuda"), []
    huge = Training(optimizer="sgd", learning_rate=1.0, clip=0.0, ema=0.0, warmup=0.0, batch_size=8)
    huge = dataclasses.replace(huge, on_divergence="rollback")
    for settings in (huge, None):
        seed_everything(0)
        network = nn.Linear(4, 1).to(device)

        def examples_at(number):
            return (torch.full((8, 4), 0.5, device=device),)

        def loss_of(network, batch):
            return F.mse_loss(network(batch[0])[:, 0], batch[0].sum(dim=1))

        def batch_of(examples, generator):
            return (examples[0] + torch.randn(8, 4, generator=generator, device=device),)

        if settings is None:
            settings = dataclasses.replace(huge, learning_rate=1.0 * 0.5 ** outcomes[0].rollbacks)
        task = Task(network, examples_at, batch_of, loss_of, lambda network: {"score": 0.0}, 200, 200, True)
        outcomes.append(train(task, settings, seed=0, device=device, checkpoint=NoCheckpoint()))
    assert outcomes[0].rollbacks and not outcomes[1].rollbacks
    assert all(torch.equal(outcomes[0].weights[name], outcomes[1].weights[name]) for name in outcomes[0].weights)
