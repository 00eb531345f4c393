"""The one loop: it learns, keeps the best, refuses infinities, and resumes to the same bytes."""

import dataclasses
import functools
import math
import os
import signal

import pytest
import torch
from family_plans import image_plan, language_plan, sequence_plan, stopped_and_resumed, text_to_image_plan, trained
from small_training import CPU, SETTINGS, in_order, run, same, task_of
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from quartet.artifacts import paths
from quartet.artifacts.stop_requests import Interrupted
from quartet.images.training.losses import classification_loss
from quartet.layers.positional_encoding import AddedPosition
from quartet.params.shared import Training
from quartet.training import state
from quartet.training.checkpoints import Checkpoint, NoCheckpoint
from quartet.training.devices import describe_device
from quartet.training.ema import MovingAverage
from quartet.training.loop import train
from quartet.training.muon import Muon
from quartet.training.optimizers import build_optimizers
from quartet.training.schedules import learning_rate_factor
from quartet.training.task import Task


def test_it_learns_and_ends_with_the_same_bytes_each_time(home):
    first, second = run(task_of(0, steps=200)), run(task_of(0, steps=200))
    assert first.history[-1]["validation_loss"] < first.history[0]["validation_loss"] / 2
    assert same(first.weights, second.weights) and first.history == second.history
    assert not same(first.weights, run(task_of(1, steps=200), seed=1).weights)


def test_a_validation_that_cannot_be_told_is_not_lost(home):
    def unwilling(row):
        raise OSError("the database is gone")

    checkpoint = Checkpoint("stage", {"key": "told"})
    with pytest.raises(OSError, match="gone"):
        train(task_of(0), SETTINGS, seed=0, device=CPU, checkpoint=checkpoint, on_validation=unwilling)
    checkpoint.close(finished=False)
    told = []
    resumed = train(
        task_of(0),
        SETTINGS,
        seed=0,
        device=CPU,
        checkpoint=Checkpoint("stage", {"key": "told"}),
        on_validation=told.append,
    )
    assert [row["step"] for row in told] == [4, 8, 12]
    assert same(resumed.weights, run(task_of(0)).weights)


def test_the_best_validation_is_kept_not_the_last(home):
    outcome = run(task_of(0, scores=[0.1, 0.9, 0.3]))
    assert outcome.kept["step"] == 8 and outcome.kept["validation_score"] == 0.9
    assert same(outcome.weights, run(task_of(0, scores=[0.0, 0.5, 0.4])).weights)
    assert not same(outcome.weights, run(task_of(0, scores=[0.0, 0.1, 0.4])).weights)


def test_the_last_weights_are_kept_where_the_settings_say_so(home):
    """But of a training that `patience` ends, whose last weights are those that got no better, the best."""
    scores, last = [0.1, 0.9, 0.3], dataclasses.replace(SETTINGS, keep="last")
    outcome = run(task_of(0, scores=scores), last)
    assert outcome.kept == outcome.history[-1] and outcome.kept["step"] == 12
    assert same(outcome.weights, run(task_of(0, scores=[0.1, 0.3, 0.9])).weights)
    patient = dataclasses.replace(last, patience=2)
    assert run(task_of(0, steps=24, scores=[0.1, 0.9, 0.3, 0.4]), patient).kept["step"] == 8


def test_patience_ends_a_training_that_gets_no_better(home):
    scores = [0.1, 0.9, 0.3, 0.4, 0.95, 0.2]
    settings = dataclasses.replace(SETTINGS, patience=2)
    outcome = run(task_of(0, steps=24, scores=scores), settings)
    assert outcome.steps == 16 and outcome.kept["step"] == 8
    assert run(task_of(0, steps=24, scores=scores), dataclasses.replace(SETTINGS, patience=3)).steps == 24


def test_equal_scores_are_no_progress_but_their_later_weights_are_kept(home):
    outcome = run(
        task_of(0, steps=24, scores=[0.1, 0.9, 0.9, 0.9, 0.9, 0.9]), dataclasses.replace(SETTINGS, patience=2)
    )
    assert outcome.steps == 16 and outcome.kept["step"] == 16


def test_a_training_by_the_clock_goes_on_to_the_number_of_steps_that_it_began_with(home, monkeypatch):
    settings = dataclasses.replace(SETTINGS, max_seconds=60.0)
    monkeypatch.setattr(state, "steps_within_time", lambda *_: 12)
    whole = run(task_of(0), settings)

    def stop_once(step):
        if step == 9:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        run(task_of(0, at_step=stop_once), settings, key="clock")
    monkeypatch.setattr(state, "steps_within_time", lambda *_: 5)
    resumed = run(task_of(0), settings, key="clock")
    assert resumed.steps == 12 and same(resumed.weights, whole.weights) and in_order(resumed) == in_order(whole)


def test_accumulated_batches_make_the_step_of_one_large_batch():
    """Batches 2n and 2n + 1, averaged, are what a batch of both would be."""
    torch.manual_seed(0)
    inputs = torch.randn(6, 8, 4)
    start = nn.Linear(4, 1)

    def weights(accumulate, size):
        network = nn.Linear(4, 1)
        network.load_state_dict(start.state_dict())
        parts = inputs.reshape(-1, size, 4)

        def loss_of(network, batch):
            return F.mse_loss(network(batch)[:, 0], batch.sum(1))

        def batch_of(part, generator):
            return part

        task = Task(network, parts.__getitem__, batch_of, loss_of, lambda _: {"score": 0.0}, 3, 3)
        settings = dataclasses.replace(SETTINGS, accumulate=accumulate)
        return train(task, settings, seed=0, device=CPU, checkpoint=NoCheckpoint()).weights

    torch.testing.assert_close(weights(2, 8), weights(1, 16))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "muon"])
def test_a_training_stopped_by_sigterm_goes_on_to_the_same_bytes(home, optimizer):
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer)
    whole = run(task_of(0), settings)

    def stop_once(step):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    checkpoint = Checkpoint("stage", {"key": "stopped"})
    with pytest.raises(Interrupted):
        train(task_of(0, at_step=stop_once), settings, seed=0, device=CPU, checkpoint=checkpoint)
    resumed = run(task_of(0), settings, key="stopped")
    assert same(whole.weights, resumed.weights) and in_order(whole) == in_order(resumed)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "muon"])
@pytest.mark.parametrize(
    "plan_of",
    # The first two lie channels last in memory, and so must what their optimizer remembers.
    [
        image_plan,
        functools.partial(text_to_image_plan, norm_groups=1),
        text_to_image_plan,
        sequence_plan,
        *(functools.partial(language_plan, architecture=how) for how in ("decoder", "encoder-decoder", "gru")),
    ],
    ids=["images", "text to image, channels last", "text to image", "sequences", "decoder", "encoder-decoder", "gru"],
)
def test_each_family_goes_on_to_the_same_bytes(family_data, home, plan_of, optimizer):
    settings = {"optimizer": optimizer, "learning_rate": 0.01, "dropout": 0.3, "steps": 4, "validate_every": 2}
    whole = trained(plan_of, family_data, **settings)
    resumed = stopped_and_resumed(plan_of, family_data, **settings)
    assert same(whole.weights, resumed.weights) and in_order(whole) == in_order(resumed)


def test_a_training_killed_between_validations_goes_on_to_the_same_bytes(home):
    whole = run(task_of(0))

    def die(step):
        if step == 10:
            raise MemoryError

    checkpoint = Checkpoint("stage", {"key": "killed"})
    with pytest.raises(MemoryError):
        train(task_of(0, at_step=die), SETTINGS, seed=0, device=CPU, checkpoint=checkpoint)
    checkpoint.close(finished=False)
    seen = []
    assert same(whole.weights, run(task_of(0, at_step=seen.append), key="killed").weights)
    assert min(step for step in seen if step >= 0) == 4
    assert not list((paths.checkpoints() / "stage").iterdir())


def test_a_checkpoint_is_of_a_number_of_threads():
    # Sums are added up in as many parts.
    threads = torch.get_num_threads()
    before = describe_device(CPU)
    try:
        torch.set_num_threads(threads + 1)
        assert describe_device(CPU) != before
    finally:
        torch.set_num_threads(threads)
    assert describe_device(CPU) == before


def test_a_loss_that_is_not_finite_stops_before_the_update(home):
    task = task_of(0)
    before = {name: tensor.clone() for name, tensor in task.network.named_parameters()}
    broken = dataclasses.replace(task, loss_of=lambda network, batch: network(batch[0]).sum() * float("nan"))
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        run(broken)
    assert same(before, dict(task.network.named_parameters()))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_validation_that_is_not_finite_stops_with_the_same_advice(home, value):
    task = dataclasses.replace(task_of(0), validate=lambda network: {"loss": value, "score": 0.1})
    with pytest.raises(FloatingPointError, match="step 4: lower learning_rate"):
        run(task)


def test_max_seconds_chooses_steps_that_rebuild_the_same_bytes(home):
    timed = run(task_of(0), dataclasses.replace(SETTINGS, max_seconds=0.05))
    again = run(task_of(0, steps=timed.steps))
    assert same(timed.weights, again.weights)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_schedule_rises_then_falls_to_almost_nothing(schedule):
    rates = [learning_rate_factor(step, 100, schedule=schedule, warmup=0.2) for step in range(100)]
    assert rates[:20] == sorted(rates[:20]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert max(rates) == 1 and 0 < rates[-1] < 0.02 and min(rates) > 0


def test_schedules_equal_torchs():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = {
        "linear": torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=40),
        "cosine": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40),
        "constant": torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
    }
    for name, scheduler in theirs.items():
        optimizer.param_groups[0]["lr"] = 1.0
        scheduler.last_epoch = 0
        for step in range(40):
            ours = learning_rate_factor(step, 40, schedule=name, warmup=0.0)
            assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9), (name, step)
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_every_update_has_the_learning_rate_of_its_step(schedule, optimizer):
    rates = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: rates.append([group["lr"] for group in optimizer.param_groups])
    )
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer, schedule=schedule, warmup=0.25)
    try:
        outcome = train(task_of(0), settings, seed=0, device=CPU, checkpoint=NoCheckpoint())
    finally:
        handle.remove()
    left = [step / 9 for step in range(9, 0, -1)]
    fall = {"linear": left, "cosine": [(1 - math.cos(math.pi * x)) / 2 for x in left], "constant": [1.0] * 9}
    expected = [0.02 * share for share in [0.25, 0.5, 0.75, *fall[schedule]]]
    updates = 2 if optimizer == "muon" else 1
    assert len(rates) == 12 * updates
    for number, groups in enumerate(rates):
        assert groups == pytest.approx([expected[number // updates]] * len(groups))
    assert [row["learning_rate"] for row in outcome.history] == pytest.approx(expected[3::4])


def test_the_average_follows_its_formula():
    network = nn.Linear(2, 1)
    average = MovingAverage(network, 0.5)
    expected = network.weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            network.weight.normal_()
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.weight.detach()
    torch.testing.assert_close(average.network.weight.detach(), expected)


def test_settings_select_the_optimizer_and_their_values_arrive():
    network = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.Conv1d(3, 2, 1))
    kinds_of = {"sgd": ["SGD"], "adam": ["Adam"], "adamw": ["AdamW"], "rmsprop": ["RMSprop"], "muon": ["Muon", "AdamW"]}
    for name, kinds in kinds_of.items():
        settings = Training(optimizer=name, learning_rate=0.123, weight_decay=0.4)
        optimizers = build_optimizers(network, settings, torch.device("cpu"))
        assert [type(optimizer).__name__ for optimizer in optimizers] == kinds
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            assert group["lr"] == 0.123
            decayed = all(p.ndim >= 2 and p is not network[0].weight for p in group["params"])
            assert group["weight_decay"] == (0.4 if decayed else 0.0)
    matrices = optimizers[0].param_groups[0]["params"]
    assert len(matrices) == 2 and matrices[0] is network[1].weight and matrices[1] is network[2].weight


def _updated(name, weight, gradients, rate, decay):
    """A weight after updates by these gradients, as the equations of the update rules have it."""
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    beta1, beta2 = (0.9, 0.95) if name == "muon" else (0.9, 0.999)
    for step, gradient in enumerate(gradients, start=1):
        if name in ("adamw", "muon"):
            weight = weight * (1 - rate * decay)
        else:
            gradient = gradient + decay * weight
        if name == "sgd":
            first = 0.9 * first + gradient
            weight = weight - rate * (gradient + 0.9 * first)
        elif name == "rmsprop":
            second = 0.99 * second + 0.01 * gradient**2
            weight = weight - rate * gradient / (second.sqrt() + 1e-8)
        else:
            first = beta1 * first + (1 - beta1) * gradient
            second = beta2 * second + (1 - beta2) * gradient**2
            mean, square = first / (1 - beta1**step), second / (1 - beta2**step)
            weight = weight - rate * mean / (square.sqrt() + 1e-8)
    return weight


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "muon"])
def test_updates_follow_their_equations_and_decay_matrices_alone(name):
    """Of `muon` what is AdamW's; its own part is held against torch's below."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3)).double()
    begun = {key: weight.detach().clone() for key, weight in network.named_parameters()}
    gradients = {key: torch.randn(4, *weight.shape, dtype=torch.float64) for key, weight in begun.items()}
    settings = Training(optimizer=name, learning_rate=0.05, weight_decay=0.3)
    optimizers = build_optimizers(network, settings, CPU)
    for step in range(4):
        for key, weight in network.named_parameters():
            weight.grad = gradients[key][step].clone()
        for optimizer in optimizers:
            optimizer.step()
    for key, weight in network.named_parameters():
        decay = 0.3 if key == "1.weight" else 0.0
        if (name, key) != ("muon", "1.weight"):
            torch.testing.assert_close(weight.detach(), _updated(name, begun[key], gradients[key], 0.05, decay))


def test_muon_updates_weights_of_all_shapes_as_torchs_does_a_kernel_as_the_matrix_of_its_patches():
    torch.manual_seed(0)
    shapes = [(6, 2, 3, 3), (8, 4), (4, 8), (8, 4), (6, 2, 3, 3)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in ours]
    begun = [weight.detach().clone() for weight in theirs]
    optimizers = (
        Muon(ours, lr=0.1, weight_decay=0.2),
        torch.optim.Muon(theirs, lr=0.1, weight_decay=0.2, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for weight, matrix in zip(ours, theirs, strict=True):
            weight.grad = torch.randn_like(weight)
            matrix.grad = weight.grad.flatten(1).clone()
        for optimizer in optimizers:
            optimizer.step()
    for weight, matrix, before in zip(ours, theirs, begun, strict=True):
        moved = (matrix.detach() - before).abs().max()
        # Orthogonalised in bfloat16 by other products, whose roundings differ.
        torch.testing.assert_close(weight.detach().flatten(1), matrix.detach(), rtol=0, atol=0.02 * moved.item())


def test_muon_treats_a_kernel_alike_in_either_layout():
    torch.manual_seed(0)
    kernel = torch.randn(6, 4, 3, 3)
    weights = [nn.Parameter(kernel.clone()), nn.Parameter(kernel.clone().to(memory_format=torch.channels_last))]
    gradient = torch.randn_like(kernel)
    for weight in weights:
        weight.grad = gradient.clone()
        Muon([weight], lr=0.1, weight_decay=0.0).step()
    assert not torch.allclose(weights[0], kernel, atol=0.05)
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0.002)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_hot_losses_equal_their_formulas(smoothing):
    logits, labels = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    targets = torch.full((5, 4), smoothing / 4)
    targets[torch.arange(5), labels] += 1 - smoothing
    share = logits.sigmoid()
    expected = {
        "cross_entropy": -(targets * logits.log_softmax(1)).sum(1).mean(),
        "binary_cross_entropy": -(targets * share.log() + (1 - targets) * (1 - share).log()).mean(),
        "mean_squared_error": ((logits.exp() / logits.exp().sum(1, keepdim=True) - targets) ** 2).mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(classification_loss(logits, labels, name, smoothing), value)


def test_bfloat16_changes_the_numbers_but_not_the_weights_type(home):
    coarse = run(task_of(0), dataclasses.replace(SETTINGS, precision="bfloat16"), key="coarse")
    assert not same(coarse.weights, run(task_of(0)).weights)
    assert coarse.weights["0.weight"].dtype == torch.float32
    assert same(coarse.weights, run(task_of(0), dataclasses.replace(SETTINGS, precision="bfloat16")).weights)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_learned_position_is_an_embedding_to_the_optimizer(name):
    """Neither decayed nor orthogonalised."""
    position = AddedPosition("learned", context=6, features=4)
    network = nn.Sequential(nn.Linear(4, 4), position)
    *_, last = build_optimizers(network, Training(optimizer=name, weight_decay=0.4), CPU)
    (group,) = [g for g in last.param_groups if any(p is position.table for p in g["params"])]
    assert isinstance(last, torch.optim.AdamW) and group["weight_decay"] == 0
