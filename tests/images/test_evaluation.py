"""How the image classifier is looked at: Grad-CAM, test-time augmentation, the pictures."""

import numpy as np
import torch
from torch import nn

from quartet.classification.report import MISTAKES, most_confident_mistakes
from quartet.classification.scores import confusion_counts
from quartet.images import evaluation
from quartet.images.grad_cam import grad_cam
from quartet.images.shifted_views import SHIFTS, shifted_probabilities
from quartet.reporting.classification_figures import confusion_figure
from quartet.reporting.image_sheets import attention_sheet, filter_sheet


class Quarters(nn.Module):
    """Two maps: the upper left quarter, and the lower right one."""

    def forward(self, images):
        half = images.shape[-1] // 2
        maps = torch.zeros(len(images), 2, *images.shape[-2:])
        maps[:, 0, :half, :half] = images[:, 0, :half, :half]
        maps[:, 1, half:, half:] = images[:, 0, half:, half:]
        return maps


class Corners(nn.Module):
    """Logit 0 is the sum of the upper left quarter, logit 1 that of the lower right one."""

    def __init__(self):
        super().__init__()
        self.quarters = Quarters()

    def forward(self, images):
        return self.quarters(images).sum(dim=(2, 3))


def test_grad_cam_looks_where_the_class_comes_from():
    images = torch.rand(2, 1, 8, 8) + 0.1
    seen = grad_cam(Corners(), images, torch.tensor([0, 1]))
    assert seen.shape == (2, 8, 8) and seen.amax(dim=(1, 2)).tolist() == [1.0, 1.0]
    assert seen[0, :4, :4].min() > 0 and seen[0, 4:].max() == 0 and seen[0, :, 4:].max() == 0
    assert seen[1, 4:, 4:].min() > 0 and seen[1, :4].max() == 0


def test_test_time_augmentation_is_the_mean_over_the_shifted_images():
    # A shift by one of 28 pixels is whole, so rolling an image with an empty border does the same.
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 4:-4, 4:-4] = torch.randint(256, (3, 1, 20, 20), dtype=torch.uint8)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 5))
    expected = torch.zeros(3, 5)
    for right, down in SHIFTS:
        moved = images.roll((round(down * 28), round(right * 28)), dims=(2, 3))
        expected += network(moved.float() / 255).softmax(dim=1).detach() / len(SHIFTS)
    found = shifted_probabilities(network, images, lambda pixels: pixels, batch_size=2)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_surest_mistakes_come_first_and_nothing_right_among_them():
    confidence = torch.tensor([0.7, 0.95, 0.6, 0.9, 0.99, 0.8])
    labels = torch.tensor([1, 1, 1, 0, 0, 1])  # the network names 0: the fourth and the fifth are right
    logits = torch.stack([confidence, 1 - confidence], dim=1).log()
    assert most_confident_mistakes(logits, labels).tolist() == [1, 5, 0, 2]
    many = logits.repeat(5, 1), labels.repeat(5)
    assert len(most_confident_mistakes(*many)) == MISTAKES


def test_a_logit_may_be_large_without_being_sure():
    logits = torch.tensor([[10.0, 9.9], [3.0, 0.0]])
    assert most_confident_mistakes(logits, torch.tensor([1, 1])).tolist() == [1, 0]


def test_grad_cam_is_shown_for_an_image_of_every_class_before_a_second_of_any(tmp_path, monkeypatch):
    labels = torch.tensor([0] * 20 + [3, 3, 1, 2, 1])
    images = torch.arange(25, dtype=torch.uint8).view(25, 1, 1, 1).expand(25, 1, 8, 8)  # an image is its number
    shown = []
    monkeypatch.setattr(evaluation, "attention_sheet", lambda *arguments: shown.append(arguments))
    monkeypatch.setattr(evaluation, "save_figure", lambda figure, path: None)
    evaluation.report_grad_cam(tmp_path, Corners(), images, labels, lambda pixels: pixels, ["named", "b", "c", "d"])
    ((pixels, seen, names),) = shown
    order = [0, 20, 22, 23, 1, 21, 24, 2, 3, 4, 5, 6]
    assert (pixels[:, 0, 0, 0] * 255).round().astype(int).tolist() == order
    assert len(seen) == 12 and names == ["named"] * 12  # not what the images are


def test_the_pictures_hold_a_hundred_classes_and_any_channels():
    labels = np.arange(200) % 100
    counts = confusion_counts(labels, np.roll(labels, 1), [f"class {number}" for number in range(100)])
    figure = confusion_figure(counts, "a hundred classes")
    assert len(figure.axes[0].get_xticklabels()) == 100
    for channels in (1, 3):
        rng = np.random.default_rng(0)
        assert filter_sheet(rng.normal(size=(20, channels, 5, 5))).axes
        images, seen = rng.random((4, channels, 8, 8)), rng.random((4, 8, 8))
        assert len(attention_sheet(images, seen, ["a"] * 4).axes) == 8
