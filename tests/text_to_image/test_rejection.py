"""Which of the pictures drawn are kept."""

import dataclasses
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from quartet.text_to_image.captions.templates import TEMPLATES, Captioner
from quartet.text_to_image.class_pictures import draw_classes
from quartet.text_to_image.networks.matcher import Matcher
from quartet.text_to_image.noise_schedules import clean_and_noise, signal_and_noise
from quartet.text_to_image.rejection import TIMES, candidates, caption_evidence, evaluations_per_picture, top_candidates
from quartet.text_to_image.samplers import denoising_times, network_evaluations
from quartet.text_to_image.serving import Painter
from quartet.text_to_image.settings import EvaluateDiffusion

CAPTIONER = Captioner(("black", "white"), "square")


class OnePicturePerCaption(nn.Module):
    """Believes that a caption with the word "white" stands for a white picture, any other for a black one, none for a
    grey one; predicts what follows from that."""

    picture_shape = (1, 2, 2)

    def __init__(self, objective):
        super().__init__()
        self.objective, self.schedule, self.asked = objective, "flow" if objective == "flow" else "cosine", 0
        self.matcher = None

    def believed(self, captions):
        white = (captions == CAPTIONER.words.index("white") + 2).any(dim=1)
        nothing = captions[:, 1] == 0
        return (white.float() * 2 - 1).masked_fill(nothing, 0).view(-1, 1, 1, 1)

    def encode(self, captions):
        return (captions,)

    def denoise(self, pictures, times, captions):
        self.asked += len(pictures)
        signal, blur = (part.view(-1, 1, 1, 1) for part in signal_and_noise(self.schedule, times))
        clean = self.believed(captions).expand_as(pictures)
        noise = (pictures - signal * clean) / blur
        return {"flow": noise - clean, "epsilon": noise, "v": signal * noise - blur * clean}[self.objective]


@pytest.mark.parametrize("objective", ["flow", "epsilon", "v"])
def test_evidence_is_what_the_caption_takes_off_the_error(objective):
    network = OnePicturePerCaption(objective)
    pictures = torch.tensor([1.0, 1.0, -1.0, 0.75]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    captions = CAPTIONER.encode(["the white", "the black", "a picture of a black", "white"])
    found = caption_evidence(network, pictures, captions, torch.Generator().manual_seed(0))
    expected = torch.zeros(4)
    for time in TIMES:
        times = torch.full((4,), time)
        # A prediction's error is in proportion to that of the clean picture that it stands for.
        zero, one = torch.zeros(4, 1, 1, 1), torch.ones(4, 1, 1, 1)
        from_zero, _ = clean_and_noise(zero, zero, times, objective, network.schedule)
        from_one, _ = clean_and_noise(zero, one, times, objective, network.schedule)
        per_pixel = 1 / (from_one - from_zero).flatten() ** 2
        clean = pictures[:, 0, 0, 0]
        told = network.believed(captions).flatten()
        expected += 4 * per_pixel * (clean**2 - (clean - told) ** 2)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert found[0] > 0 > found[1] and found[2] > 0 and 0 < found[3] < found[0]


def test_the_strongest_stay_in_the_order_they_were_drawn():
    evidence = torch.tensor([[3.0, 1.0, 5.0, 4.0], [0.0, -1.0, -3.0, -2.0]])
    assert top_candidates(evidence, 2).tolist() == [[2, 3], [0, 1]]


@given(st.integers(1, 10_000), st.floats(0, 0.9))
def test_as_many_are_drawn_as_the_share_asks_for(kept, rejection):
    drawn, share = candidates(kept, rejection), 1 - Fraction(str(rejection))
    assert drawn >= kept and (drawn - 1) * share < kept <= drawn * share
    assert candidates(kept, 0.0) == kept


@pytest.mark.parametrize(("kept", "rejection", "drawn"), [(1, 0.8, 5), (21, 0.3, 30), (9, 0.55, 20), (8, 0.2, 10)])
def test_no_picture_more_is_drawn_because_of_rounding(kept, rejection, drawn):
    assert candidates(kept, rejection) == drawn


@pytest.mark.parametrize("rejection", [-0.1, 1.0, float("nan")])
def test_a_share_that_cannot_be_left_out_is_said(rejection):
    with pytest.raises(ValueError, match=r"at least 0 and below 1"):
        candidates(8, rejection)


@pytest.fixture
def painter():
    painter = Painter.__new__(Painter)  # no model folder
    painter.network, painter.captioner = OnePicturePerCaption("epsilon"), CAPTIONER
    painter.network.schedule = "linear"
    return painter


HOW = {"guidance": 1.0, "temperature": 1.0, "sampler": "ddpm", "seed": 3}


def test_the_noise_that_ddpm_adds_is_not_that_which_it_began_with(painter):
    first, *_ = painter.drawing(["the white"], 2000, steps=20, rejection=0.0, **HOW)
    signal, blur = signal_and_noise("linear", denoising_times(20, "linear")[1])
    # Its network knows the picture; so x_t has the mean and deviation that the forward process gives it.
    assert first.mean().item() == pytest.approx(signal.item(), abs=0.05)
    assert first.std().item() == pytest.approx(blur.item(), rel=0.03)


@pytest.mark.parametrize("rejection", [0.0, 0.5])
def test_a_captions_pictures_are_the_same_whatever_else_is_drawn(painter, rejection):
    captions = ["the white", "black", "white"]
    *way, together = painter.drawing(captions, 4, steps=3, rejection=rejection, **HOW)
    assert len(way) + 1 == 3 + bool(rejection)
    for caption, pictures in zip(captions, together.split(4), strict=True):
        *_, alone = painter.drawing([caption], 4, steps=3, rejection=rejection, **HOW)
        assert alone.shape == (4, 1, 2, 2) and torch.equal(alone, pictures)


@pytest.mark.parametrize(
    ("name", "value"), [("steps", 0), ("steps", 2000), ("guidance", -5.0), ("temperature", 0.0), ("rejection", 0.95)]
)
def test_numbers_that_the_settings_refuse_are_refused_by_whatever_way_they_come(painter, name, value):
    how = {**HOW, "steps": 3, "rejection": 0.0, name: value}
    with pytest.raises(ValueError, match=rf"{name}: found {value}, allowed is .*number"):
        next(painter.drawing(["the white"], 4, **how))


def test_nothing_to_draw_is_said(painter):
    with pytest.raises(ValueError, match="no caption"):
        next(painter.drawing([], 4, steps=3, rejection=0.0, **HOW))


class Scribbler(OnePicturePerCaption):
    """Draws every other picture white and the others black, whatever the caption; judges as its parent does."""

    def denoise(self, pictures, times, captions):
        predicted = super().denoise(pictures, times, captions)
        if times[0] in TIMES:
            return predicted
        clean = (torch.arange(len(pictures)) // 2 % 2 * 2.0 - 1).view(-1, 1, 1, 1)
        return (pictures - clean) / times.view(-1, 1, 1, 1)


@pytest.mark.parametrize("images", [8, 7])
def test_pictures_unlike_their_caption_are_left_out(images):
    network = Scribbler("flow")
    how = EvaluateDiffusion(images=images, steps=2, guidance=1.0, temperature=1.0, sampler="euler", rejection=0.5)

    def drawn(how):
        return draw_classes(network, CAPTIONER, TEMPLATES, how, torch.Generator().manual_seed(0), 256)

    pictures, labels, asked_by = drawn(how)
    assert pictures.shape == (images, 1, 2, 2) and pictures.dtype == torch.uint8
    assert labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1][:images]
    assert (pictures.flatten(1) == 255 * labels[:, None]).all()
    asked = network_evaluations(steps=2, sampler="euler", guidance=1.0)
    assert network.asked == 8 * evaluations_per_picture(asked, 4, 0.5, matcher=False)

    network.asked = 0
    pictures, _, every = drawn(dataclasses.replace(how, rejection=0.0))
    assert (pictures.flatten(1) != 255 * labels[:, None]).any()
    assert network.asked == 8 * evaluations_per_picture(asked, 4, 0.0, matcher=False) == 16
    assert every.tolist() == [0, 0, 1, 1, 2, 2, 3, 3][:images]
    # Of the white one that is asked for, every other try is white, and so of the black one.
    assert len(TEMPLATES) > 7 and asked_by.tolist() == [0, 1, 2, 3, 4, 5, 6, 7][:images]


def test_a_matchers_word_goes_before_the_networks_own():
    torch.manual_seed(0)
    network = Scribbler("flow")
    distinguishing = CAPTIONER.distinguishing_words
    assert distinguishing == [CAPTIONER.words.index(word) + 2 for word in ("black", "white")]
    network.matcher = Matcher(channels=1, size=2, words=distinguishing, width=8, groups=8)
    captions = CAPTIONER.encode(["a white", "the black square"])
    pictures = torch.rand(2, 1, 2, 2) * 2 - 1
    found = caption_evidence(network, pictures, captions, torch.Generator())
    assert network.asked == 0

    words = network.matcher(pictures).double().sigmoid()
    for picture, caption in enumerate(captions.tolist()):
        likelihoods = [p if word in caption else 1 - p for word, p in zip(distinguishing, words[picture], strict=True)]
        expected = torch.stack(likelihoods).log().sum()
        torch.testing.assert_close(found[picture].double(), expected, rtol=1e-4, atol=1e-4)
    assert evaluations_per_picture(19, 4, 0.5, matcher=True) == 40


def test_a_matcher_learns_which_picture_goes_with_which_caption():
    def some(count):
        """Bright on the left for the one caption, on the right for the other, in noise."""
        labels = torch.randint(2, (count,))
        bright = torch.arange(8) // 4 == labels[:, None]  # (count, 8)
        return bright.float().view(-1, 1, 1, 8) + 0.7 * torch.randn(count, 1, 8, 8), labels

    torch.manual_seed(0)
    matcher = Matcher(channels=1, size=8, words=CAPTIONER.distinguishing_words, width=8, groups=8)
    captions = CAPTIONER.table(TEMPLATES)  # (classes, templates, words)
    optimizer = torch.optim.Adam(matcher.parameters(), lr=0.01)
    for _ in range(100):
        pictures, labels = some(32)
        loss = -matcher.log_likelihood(pictures, captions[labels, torch.randint(len(TEMPLATES), (32,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pictures, labels = some(200)
    right, wrong = (matcher.log_likelihood(pictures, captions[asked, 0]) for asked in (labels, 1 - labels))
    assert (right > wrong).float().mean() > 0.95
