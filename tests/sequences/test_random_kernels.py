"""Random kernels: against numpy, whatever the padding, and what they learn of long series."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.layers.random_kernels import CompetingKernels, DilatedKernels, dilations
from quartet.sequences.loading import Sequences
from quartet.sequences.networks.kernels import KernelClassifier
from quartet.sequences.settings import SeriesAugmentation, TrainRnn
from quartet.sequences.training.kernel_training import KernelTraining, ridge_penalty
from quartet.sequences.training.sequence_training import SequenceTraining
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.loop import train
from quartet.training.seeding import seed_everything

CPU = torch.device("cpu")
INFO = {"classes": ["slow", "fast"], "input": "numbers", "features": 1, "mean": [0.0], "std": [1.0]}


def waves(count, steps, seed=0):
    """Noisy waves of two frequencies at random phases, `(series, steps, 1)`, and which of the two each is."""
    random = np.random.default_rng(seed)
    fast = np.arange(count) % 2
    phase = random.uniform(0, 2 * np.pi, (count, 1))
    values = np.sin(np.arange(steps) * (0.2 + 0.15 * fast[:, None]) + phase) + random.normal(0, 0.5, (count, steps))
    return torch.from_numpy(values.astype(np.float32))[..., None], torch.from_numpy(fast)


def sequences(values, labels, lengths=None):
    """Series of these lengths, by default as long as they are."""
    lengths = torch.full((len(values),), values.shape[1]) if lengths is None else lengths
    parts = [series[:length] for series, length in zip(values, lengths.tolist(), strict=True)]
    return Sequences(torch.cat(parts), lengths, labels)


def trained(kind, train_split, held_out, info, **changes):
    seed_everything(0)
    chosen = TrainRnn(**{"batch_size": 64, "steps": 60, "validate_every": 60, "ema": 0.0, **changes})
    training = kind(chosen, info, CPU, seed=0, train=train_split, held_out=held_out)
    return train(training.task(), chosen, seed=0, device=CPU, checkpoint=NoCheckpoint(), quiet=True)


def test_dilated_kernels_pool_what_numpy_pools():
    torch.manual_seed(0)
    series, lengths = torch.randn(6, 2, 40), torch.tensor([40, 40, 31, 40, 9, 40])
    series *= torch.arange(40) < lengths[:, None, None]
    kernels = DilatedKernels(2, 40, dilated=5)
    kernels.fit(series, lengths)
    found = kernels(series, lengths).reshape(6, 2, len(kernels.dilations), -1, 3, 84).numpy()
    place, kernel, row = 1, 17, 2
    weights, dilation = kernels.weights[kernel, 0].numpy(), kernels.dilations[place]
    summed = (series[row].numpy() * kernels.channels[0, place, kernel].numpy()[:, None]).sum(axis=0)
    padded = np.pad(summed, 4 * dilation)
    length = int(lengths[row])
    convolved = np.array([(padded[t : t + 8 * dilation + 1 : dilation] * weights).sum() for t in range(length)])
    threshold = kernels.thresholds[0, place, kernel, 0].item()
    above = convolved > threshold
    expected = [above.mean(), convolved[above].sum() / max(1, above.sum()), np.flatnonzero(above).mean() / length]
    np.testing.assert_allclose(found[row, 0, place, 0, :, kernel], expected, rtol=1e-4)


def test_competing_kernels_count_what_numpy_counts():
    torch.manual_seed(0)
    series, lengths = torch.randn(3, 1, 30), torch.tensor([30, 21, 30])
    series *= torch.arange(30) < lengths[:, None, None]
    kernels = CompetingKernels(1, 30, groups=2, kernels=4)
    found = kernels(series, lengths).square().reshape(3, 2, len(kernels.dilations), 2, 2, 4)
    row, group, dilation = 1, 1, kernels.dilations[0]
    padded = np.pad(series[row, 0].numpy(), 4 * dilation)
    weights = kernels.weights[0, 0].reshape(2, 4, 9)[group].numpy()
    convolved = np.array([weights @ padded[t : t + 8 * dilation + 1 : dilation] for t in range(int(lengths[row]))])
    best, worst = convolved.argmax(axis=1), convolved.argmin(axis=1)
    won = [max(0.0, convolved[best == kernel, kernel].sum()) for kernel in range(4)]
    lost = [(worst == kernel).sum() for kernel in range(4)]
    np.testing.assert_allclose(found[row, 0, 0, 0, group], won, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[row, 0, 0, 1, group], lost, rtol=1e-4, atol=1e-5)


@given(st.integers(5, 300), st.integers(1, 60), st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_padding_never_changes_a_result(steps, more, features):
    torch.manual_seed(steps)
    network = KernelClassifier(features=features, steps=steps, classes=3)
    train_values = torch.randn(8, steps, features)
    network.fit(train_values)
    torch.nn.init.normal_(network.classifier.weight, std=0.1)
    shorter = torch.randn(2, max(5, steps // 2), features)
    alone = network(shorter)
    padded = torch.nn.functional.pad(shorter, (0, 0, 0, more), value=7.0)  # what is behind the end is not read
    torch.testing.assert_close(network(padded, torch.full((2,), shorter.shape[1])), alone, rtol=1e-4, atol=1e-4)


def test_dilations_reach_over_the_series_and_no_further():
    for steps in (5, 9, 28, 427, 5000):
        assert max(dilations(steps)) * 8 <= max(8, steps - 1) and min(dilations(steps)) == 1


def test_a_feature_that_hardly_varies_in_training_is_not_blown_up():
    network = KernelClassifier(features=1, steps=30, classes=1)
    network.fit(torch.ones(8, 30, 1) + 1e-7 * torch.randn(8, 30, 1))
    assert network.pooled(torch.randn(4, 30, 1)).abs().max() <= 10


def test_long_series_are_told_apart_by_kernels_from_few_examples():
    values, labels = waves(120, 400)
    info = {**INFO, "steps": 400}
    train_split, held_out = sequences(values[:40], labels[:40]), sequences(values[40:], labels[40:])
    outcome = trained(KernelTraining, train_split, held_out, info, network="kernels", learning_rate=1e-3)
    assert outcome.kept["validation_accuracy"] >= 0.95


def test_cached_features_train_as_those_that_are_computed_anew(monkeypatch):
    values, labels = waves(24, 50)
    split, info = sequences(values, labels), {**INFO, "steps": 50}
    cached = trained(KernelTraining, split, split, info, network="kernels", steps=5)
    monkeypatch.setattr("quartet.sequences.training.kernel_training.CACHE_BYTES", 0)
    anew = trained(KernelTraining, split, split, info, network="kernels", steps=5)
    for name, weights in cached.weights.items():
        torch.testing.assert_close(anew.weights[name], weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
@pytest.mark.parametrize(("kind", "network"), [(SequenceTraining, "recurrent"), (KernelTraining, "kernels")])
def test_a_number_is_learnt(kind, network, loss):
    """The frequency of a wave, in a unit far from 1."""
    random = np.random.default_rng(0)
    target = random.uniform(1000, 2000, 160)
    values = np.sin(np.arange(40) * target[:, None] / 4000 + random.uniform(0, 6, (160, 1))).astype(np.float32)
    split = sequences(torch.from_numpy(values)[..., None], torch.from_numpy(target))
    info = {**INFO, "classes": [], "task": "numbers", "steps": 40}
    info |= {"target_mean": float(target.mean()), "target_std": float(target.std())}
    rate = 1e-3 if network == "kernels" else 0.01
    size = {"hidden_size": 16, "layers": 1, "steps": 150, "validate_every": 150}
    outcome = trained(kind, split, split, info, network=network, loss=loss, learning_rate=rate, **size)
    assert outcome.kept["validation_rmse"] < 0.5 * target.std()


def test_noise_gets_a_larger_penalty_than_a_line():
    random = torch.Generator().manual_seed(0)
    features = torch.randn(60, 200, generator=random)
    line, noise = features[:, 0] + features[:, 1], torch.randn(60, generator=random)
    assert ridge_penalty(features, noise) > 10 * ridge_penalty(features, line)


def test_augmentation_and_mix_up_arrive_in_training():
    values, labels = waves(24, 50)
    lengths = torch.arange(24) % 3 * 10 + 30
    split, info = sequences(values, labels, lengths), {**INFO, "steps": 50}
    every = SeriesAugmentation(jitter=0.1, scaling=0.1, shift=0.1, time_warp=0.2, cutout=0.1, mixup=0.3)
    for kind, network in ((SequenceTraining, "recurrent"), (KernelTraining, "kernels")):
        small = {"hidden_size": 8, "layers": 1, "steps": 4, "network": network}
        changes = (every, every, SeriesAugmentation())
        runs = [trained(kind, split, split, info, series_augmentation=how, **small) for how in changes]
        weights = [run.weights["classifier.weight"] for run in runs]
        assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_seeds_give_other_kernels():
    networks = [KernelClassifier(features=1, steps=50, classes=2, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (network.competing.weights for network in networks)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_no_change_is_on_by_default():
    assert not SeriesAugmentation().on and dataclasses.replace(SeriesAugmentation(), jitter=0.1).on


def test_a_start_model_brings_its_kernels_before_features_are_computed():
    values, labels = waves(24, 50)
    split, info = sequences(values, labels), {**INFO, "steps": 50}
    chosen = TrainRnn(network="kernels")
    trainings = []
    for seed in (0, 1):
        seed_everything(seed)
        trainings.append(KernelTraining(chosen, info, CPU, seed=0, train=split, held_out=split))
    first, other = trainings
    other.network.load_state_dict(first.network.state_dict())
    assert torch.equal(other.train_features, first.train_features)
    inputs = other._inputs(split, torch.arange(len(split)))
    torch.testing.assert_close(other.network.pooled(*inputs), other.held_out_features, rtol=1e-4, atol=1e-5)
