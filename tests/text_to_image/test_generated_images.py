"""The numbers of generated images: equal to their definitions, and each notices what it is there for."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from quartet.text_to_image.generated_images import (
    copy_rate,
    copy_threshold,
    fid_ratio,
    frechet_distance,
    nearest,
    variance_ratio,
)


def test_the_frechet_distance_equals_its_formula():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(200, 5)), rng.normal(0.3, 2, size=(150, 5)) @ rng.normal(size=(5, 5))
    covariances = np.cov(first.T), np.cov(second.T)
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum()
    expected += np.trace(covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_the_ratio_is_one_for_images_like_the_training_images_and_grows_with_a_shift():
    torch.manual_seed(0)
    labels = torch.arange(600) % 3
    train, test, alike = ((features, labels) for features in torch.randn(3, 600, 8))
    ratio, spread = fid_ratio(alike, test, train, draws=10, seed=0)
    assert 0.6 < ratio < 1.6 and 0 <= spread < 0.5
    assert fid_ratio((alike[0] + 0.5, labels), test, train, draws=5, seed=0)[0] > 5


def test_the_ratio_compares_classes_in_equal_numbers():
    torch.manual_seed(0)
    far_apart = torch.tensor([[0.0], [20.0]])

    def features(first, second):
        labels = torch.cat([torch.zeros(first, dtype=torch.long), torch.ones(second, dtype=torch.long)])
        return torch.randn(len(labels), 4) + far_apart[labels], labels

    ratio, _ = fid_ratio(features(900, 300), features(300, 250), features(300, 900), draws=10, seed=0)
    assert 0.6 < ratio < 1.6  # though the generated images have three times as many of the first class


GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_the_variance_ratio_is_within_classes(device):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    centres = torch.tensor([0.0, 1000.0]).view(2, 1, 1, 1)
    noise = torch.randn(400, 1, 3, 3, generator=generator)
    drawn, real = 0.5 * noise + 2 * centres[labels], noise + centres[labels]
    ratio = variance_ratio(*(tensor.to(device) for tensor in (drawn, labels, real, labels)))
    assert ratio == pytest.approx(0.25, abs=1e-6)


def test_classes_of_single_images_leave_the_variance_ratio_alone():
    real = torch.arange(5.0).view(5, 1, 1, 1)
    real_labels = torch.tensor([0, 0, 1, 2, 2])
    drawn, labels = torch.tensor([0.0, 2, 5, 50, 9, 9]).view(6, 1, 1, 1), torch.tensor([0, 0, 1, 1, 2, 2])
    assert variance_ratio(drawn, labels, real, real_labels) == pytest.approx((2 + 0) / (0.5 + 0.5))


def test_real_images_that_tell_nothing_are_an_error():
    alike, labels = torch.zeros(4, 1, 2, 2), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match="are all the same"):
        variance_ratio(torch.rand(4, 1, 2, 2), labels, alike, labels)
    features = torch.zeros(4, 3)
    with pytest.raises(ValueError, match="no difference between training and test images"):
        fid_ratio((torch.rand(4, 3), labels), (features, labels), (features, labels), draws=2, seed=0)


def test_copies_are_found_and_neighbours_are_the_nearest():
    rng = torch.Generator().manual_seed(0)
    train = torch.randint(256, (700, 1, 4, 4), generator=rng).to(torch.uint8)
    fresh = torch.randint(256, (600, 1, 4, 4), generator=rng).to(torch.uint8)
    threshold = copy_threshold(train)
    assert copy_rate(train[:50], train, threshold) == 1
    assert copy_rate(fresh, train, threshold) < 0.05
    distances, numbers = nearest(fresh, train)
    flat = train.flatten(1).double() / 255
    for image in (0, 555):
        expected = (flat - fresh[image].flatten().double() / 255).norm(dim=1)
        assert numbers[image] == expected.argmin() and distances[image].item() == pytest.approx(
            expected.min().item(), rel=1e-4
        )
    assert nearest(train, train, itself=True)[0].min() > 0


def test_copies_are_found_among_training_images_that_repeat():
    train = torch.randint(256, (300, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    train[-10:] = train[:10]
    threshold = copy_threshold(train)
    assert threshold == 0 and copy_rate(train, train, threshold) == 1
    assert copy_rate(255 - train, train, threshold) == 0
