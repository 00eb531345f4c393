"""Each random change of series does what it says, and nothing to what is not there."""

import pytest
import torch
from torch.testing import assert_close

from quartet.sequences.settings import SeriesAugmentation
from quartet.sequences.training.augmentation import augment_series, mixed, mixing


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    """Ramps of two lengths and two features, `(batch, steps, features)`."""
    lengths = torch.tensor([40, 25] * 50)
    steps = torch.arange(40.0)
    series = torch.stack([steps, -steps], dim=1).expand(100, -1, -1) + 100
    return series * (torch.arange(40) < lengths[:, None])[..., None], lengths


@pytest.mark.parametrize("change", ["jitter", "scaling", "shift", "time_warp", "cutout"])
def test_ends_stay_zero_and_the_seed_decides(batch, change):
    ranges = SeriesAugmentation(**{change: 0.2})
    found, again, other = (augment_series(*batch, ranges, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(found, again) and not torch.equal(found, other) and not torch.equal(found, batch[0])
    assert not found[torch.arange(40).expand(100, -1) >= batch[1][:, None]].any()


def test_nothing_is_changed_by_default(batch):
    assert torch.equal(augment_series(*batch, SeriesAugmentation(), generator()), batch[0])


def test_jitter_has_its_deviation(batch):
    noise = augment_series(*batch, SeriesAugmentation(jitter=0.5), generator()) - batch[0]
    assert noise[::2].std().item() == pytest.approx(0.5, rel=0.05)


def test_scaling_is_one_factor_per_feature(batch):
    factors = augment_series(*batch, SeriesAugmentation(scaling=0.3), generator())[::2] / batch[0][::2]
    assert_close(factors, factors[:, :1].expand_as(factors))
    assert 0.7 <= factors.min() < 0.8 and 1.2 < factors.max() <= 1.3


def test_a_shift_moves_ramps_and_repeats_their_ends(batch):
    moved = augment_series(*batch, SeriesAugmentation(shift=0.2), generator())[::2, :, 0] - batch[0][::2, :, 0]
    middle = moved[:, 20]
    assert middle.abs().max() <= 0.2 * 39 + 1e-3 and middle.std() > 2
    assert_close(moved[:, 10:30], middle[:, None].expand(-1, 20), rtol=0, atol=1e-3)


def test_a_warp_keeps_ends_and_order(batch):
    warped = augment_series(*batch, SeriesAugmentation(time_warp=0.9), generator())[::2, :, 0]
    assert_close(warped[:, [0, -1]], batch[0][::2, [0, -1], 0], rtol=0, atol=1e-3)
    assert (warped.diff(dim=1) >= -1e-3).all() and (warped - batch[0][::2, :, 0]).abs().max() > 2


def test_a_stretch_is_cut_out(batch):
    cut = augment_series(*batch, SeriesAugmentation(cutout=0.25), generator())[::2]
    zeros = (cut == 0).all(dim=2)
    assert (zeros.sum(dim=1) - 10).abs().max() <= 1
    assert (zeros.int().diff(dim=1).abs().sum(dim=1) <= 2).all()  # one stretch


def test_mixing_takes_the_partners_share():
    partners, shares = mixing(1000, 0.4, generator())
    assert sorted(partners.tolist()) == list(range(1000)) and 0 <= shares.min() < 0.01 and 0.39 < shares.max() <= 0.4
    values = torch.arange(1000.0)[:, None, None]
    expected = (1 - shares) * values.flatten() + shares * values.flatten()[partners]
    assert_close(mixed(values, partners, shares).flatten(), expected)
