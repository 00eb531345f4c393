"""Whole-batch augmentation, held against torchvision's."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from quartet.datasets.augmentation import adjust_brightness, adjust_contrast, affine, augment, crop, cut_out
from quartet.params.shared import Augmentation


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(20, 20), (16, 24)])
def test_affine_maps_equal_torchvisions(channels, height, width):
    images = torch.rand(4, channels, height, width)
    degrees, shifts = torch.tensor([30.0, -12.0, 0.0, 90.0]), torch.tensor([[0.1, 0], [0, -0.25], [0.5, 0.25], [0, 0]])
    scales, shears = torch.tensor([1.0, 1.0, 0.8, 1.3]), torch.tensor([0.0, 20.0, -10.0, 5.0])
    changed = affine(images, degrees=degrees, shifts=shifts, scales=scales, shears=shears)
    for i, (right, down) in enumerate(shifts.tolist()):
        how = {
            "angle": -degrees[i].item(),
            "translate": [right * width, down * height],
            "scale": scales[i].item(),
            "shear": [shears[i].item(), 0.0],
            "interpolation": InterpolationMode.BILINEAR,
        }
        theirs = reference.affine(images[i], **how)
        # torchvision blends the border with its fill by a mask; inside, both must agree.
        inside = reference.affine(torch.ones_like(images[i]), **how) > 0.999
        assert inside.float().mean() > 0.15
        torch.testing.assert_close(changed[i][inside], theirs[inside], rtol=1e-3, atol=1e-3)


def keys_cubic(distance, a=-0.75):
    """The kernel of cubic convolution (Keys 1981)."""
    d = np.abs(distance)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def test_bicubic_resampling_follows_the_kernel_and_stays_between_black_and_white():
    size, angle = 11, np.deg2rad(20.0)
    image = torch.rand(1, 1, size, size, dtype=torch.float64).round()
    still, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    how = {"degrees": still + 20.0, "shifts": torch.zeros(1, 2, dtype=torch.float64), "scales": one, "shears": still}
    turned = affine(image, **how, interpolation="bicubic")[0, 0].numpy()
    places, centre, pixels = np.arange(size), (size - 1) / 2, image[0, 0].numpy()
    for row, column in itertools.product(places, places):
        # Counter-clockwise on a picture whose rows grow downwards.
        x, y = column - centre, row - centre
        source_x = np.cos(angle) * x - np.sin(angle) * y + centre
        source_y = np.sin(angle) * x + np.cos(angle) * y + centre
        expected = keys_cubic(source_y - places) @ pixels @ keys_cubic(source_x - places)
        assert turned[row, column] == pytest.approx(min(max(expected, 0), 1), abs=1e-9)
    assert not np.allclose(turned, affine(image, **how)[0, 0].numpy(), atol=0.01)


def test_nearest_resampling_shifts_by_whole_pixels():
    images, zeros = torch.rand(2, 3, 16, 16), torch.zeros(2)
    shifts = torch.tensor([[0.13, -0.05], [-0.01, 0.2]])  # 2.08 and -0.8 pixels, -0.16 and 3.2
    how = {"degrees": zeros, "shifts": shifts, "scales": torch.ones(2), "shears": zeros}
    moved = affine(images, **how, interpolation="nearest")
    padded = F.pad(images, (4, 4, 4, 4))
    for image, result, (right, down) in zip(padded, moved, [(2, -1), (0, 3)], strict=True):
        torch.testing.assert_close(result, image[:, 4 - down : 20 - down, 4 - right : 20 - right], rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_and_contrast_equal_torchvisions(channels):
    images, factors = torch.rand(3, channels, 9, 9), torch.tensor([0.6, 1.0, 1.5])
    for ours, theirs in (
        (adjust_brightness, reference.adjust_brightness),
        (adjust_contrast, reference.adjust_contrast),
    ):
        expected = torch.stack([theirs(i, f.item()) for i, f in zip(images, factors, strict=True)])
        torch.testing.assert_close(ours(images, factors), expected, rtol=1e-3, atol=1e-3)


def test_augmentation_is_seeded_per_image_and_can_be_switched_off():
    images = torch.rand(1, 1, 8, 8).expand(6, 1, 8, 8)
    first = augment(images, Augmentation(), torch.Generator().manual_seed(3))
    again = augment(images, Augmentation(), torch.Generator().manual_seed(3))
    assert torch.equal(first, again) and len(torch.unique(first, dim=0)) == 6
    off = {setting.name: 0 for setting in dataclasses.fields(Augmentation) if setting.type is float}
    assert torch.equal(augment(images, Augmentation(**off), torch.Generator()), images)
    limits = {"rotation": 20, "shift": 0.3, "scale": 0.4, "shear": 30, "brightness": 0.5, "contrast": 0.5, "flip": 0.5}
    for name, limit in {**limits, "cutout": 0.5}.items():
        changed = augment(images, Augmentation(**{**off, name: limit}), torch.Generator().manual_seed(3))
        assert not torch.equal(changed, images), name


def test_flips_mirror_and_cutout_blackens_a_square():
    images = 0.5 + torch.rand(40, 3, 9, 9) / 2
    off = {setting.name: 0 for setting in dataclasses.fields(Augmentation) if setting.type is float}
    flipped = augment(images, Augmentation(**{**off, "flip": 1.0}), torch.Generator())
    assert torch.equal(flipped, images.flip(3))
    cut = cut_out(images, 1 / 3, torch.full((40, 2), 0.5))
    assert torch.equal((cut == 0).nonzero()[:, 2:].unique(), torch.tensor([3, 4, 5]))
    assert (cut == 0).sum() == 40 * 3 * 9 and torch.equal(cut[cut > 0], images[cut > 0])


def test_crops_are_torchvisions_resized_crops():
    images = torch.rand(3, 3, 24, 24)
    boxes = [(0, 0, 24, 24), (4, 2, 12, 16), (12, 6, 9, 12)]  # top, left, height, width
    areas = torch.tensor([height * width / 24**2 for _, _, height, width in boxes])
    proportions = torch.tensor([width / height for _, _, height, width in boxes])
    places = torch.tensor([[left / max(1, 24 - w), top / max(1, 24 - h)] for top, left, h, w in boxes])
    found = crop(images, areas, proportions, places)
    for image, box, changed in zip(images, boxes, found, strict=True):
        top, left, height, width = box
        theirs = reference.resized_crop(image, top, left, height, width, [24, 24], antialias=False)
        # At the border of a crop, ours looks at the pixels beside it; torchvision's repeats the last ones.
        torch.testing.assert_close(changed[:, 2:-2, 2:-2], theirs[:, 2:-2, 2:-2], rtol=1e-4, atol=1e-4)


def test_crops_stay_within_the_image_and_are_as_large_as_the_setting_says():
    ramp = torch.linspace(0, 1, 64).expand(256, 1, 64, 64)  # a column's value is its place
    found = augment(ramp, Augmentation(0, 0, 0, 0, "bilinear", 0, 0, crop=0.25), torch.Generator().manual_seed(0))
    widths = (found[:, 0, 32, -1] - found[:, 0, 32, 0]) * 63 / 64
    assert found.min() >= 0 and found.max() <= 1
    assert 0.4 < widths.min() < 0.5 and widths.max() > 0.9  # √(0.25 · 3/4) at least
