"""Samplers, guidance, and what they ask of the network."""

import pytest
import torch
from networks import build

from quartet.text_to_image.guidance import guided
from quartet.text_to_image.noise_schedules import add_noise, training_target
from quartet.text_to_image.samplers import denoising_steps, denoising_times, drawing, network_evaluations


class Fake:
    """A network that predicts by a function of pictures, times and captions, and counts what it is asked."""

    def __init__(self, predict):
        self.predict, self.asked, self.encoded = predict, 0, 0

    def encode(self, captions):
        self.encoded += 1
        return (captions,)

    def denoise(self, pictures, times, captions):
        self.asked += len(pictures)
        return self.predict(pictures, times, captions)


def test_the_forward_process_runs_from_picture_to_noise():
    clean, noise = torch.randn(2, 2, 1, 8, 8)
    torch.testing.assert_close(add_noise(clean, noise, torch.zeros(2)), clean)
    torch.testing.assert_close(add_noise(clean, noise, torch.ones(2)), noise)
    step = (add_noise(clean, noise, torch.full((2,), 0.6)) - add_noise(clean, noise, torch.full((2,), 0.5))) / 0.1
    torch.testing.assert_close(
        step, training_target(clean, noise, torch.zeros(2), "flow", "flow"), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_samplers_follow_a_straight_path_exactly(sampler):
    clean, noise = torch.randn(2, 3, 1, 8, 8)
    *_, last = denoising_steps(
        lambda x, t: training_target(clean, noise, torch.zeros(2), "flow", "flow"),
        noise,
        denoising_times(4, "flow"),
        sampler=sampler,
    )
    torch.testing.assert_close(last, clean, rtol=1e-4, atol=1e-5)


def test_heun_is_more_accurate_than_euler_on_a_curve():
    noise = torch.ones(1, 1, 1, 1)
    exact = torch.exp(torch.tensor(-1.0))  # dx/dt = x, from t = 1 to 0
    errors = {}
    for sampler in ("euler", "heun"):
        *_, last = denoising_steps(lambda x, t: x, noise, denoising_times(8, "flow"), sampler=sampler)
        errors[sampler] = (last - exact).abs().item()
    assert errors["heun"] < errors["euler"] / 5


@pytest.mark.parametrize("sampler", ["euler", "heun"])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_network_evaluations_are_counted_honestly(sampler, guidance):
    network = Fake(lambda pictures, times, captions: pictures)
    captions, noise = torch.tensor([[1, 2]]), torch.randn(1, 1, 8, 8)
    list(denoising_steps(guided(network, captions, guidance), noise, denoising_times(5, "flow"), sampler=sampler))
    assert network.encoded == 1, "captions are encoded once, not at every step"
    assert network.asked == network_evaluations(steps=5, sampler=sampler, guidance=guidance)


def test_guidance_goes_from_the_prediction_without_a_caption_towards_and_beyond_the_one_with_it():
    network = Fake(lambda x, times, captions: x + times.view(-1, 1, 1, 1) * captions[:, 1].view(-1, 1, 1, 1))
    pictures, captions = torch.randn(2, 1, 4, 4), torch.tensor([[1, 2, 3], [1, 5, 0]])
    found = guided(network, captions, 1.5)(pictures, torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(found, pictures + 1.5 * torch.tensor([1.0, 5.0]).view(-1, 1, 1, 1))


def test_temperature_multiplies_the_noise_that_drawing_begins_with():
    network = build(
        {"name": "text-to-image", "channels": 1, "size": 8, "vocabulary_size": 9, "words": 4, "width": 8}
        | {"text_width": 8, "text_layers": 1, "text_heads": 2, "dropout": 0.0}
    ).eval()
    captions, noise = torch.tensor([[1, 2, 0, 0]]), torch.randn(1, 1, 8, 8)
    how = {"steps": 3, "guidance": 1.5}
    *_, warm = drawing(network, captions, noise, temperature=1.3, **how)
    *_, same = drawing(network, captions, 1.3 * noise, temperature=1.0, **how)
    torch.testing.assert_close(warm, same)


def test_a_flows_steps_get_shorter_towards_the_picture():
    times = denoising_times(5, "flow")
    lengths = times[:-1] - times[1:]
    assert times[0] == 1 and times[-1] == 0 and (lengths.diff() < 0).all() and (lengths > 0).all()
