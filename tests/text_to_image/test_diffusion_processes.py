"""Forward and reverse processes, held against diffusers' schedulers."""

import itertools
import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler
from scipy.stats import kstest

from quartet.text_to_image.noise_schedules import (
    STEPS,
    add_noise,
    clean_and_noise,
    draw_times,
    signal_and_noise,
    training_target,
)
from quartet.text_to_image.samplers import denoising_steps, denoising_times

THEIRS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
PREDICTION = {"epsilon": "epsilon", "v": "v_prediction"}


def pictures():
    torch.manual_seed(0)
    return torch.rand(3, 2, 4, 4) * 2 - 1, torch.randn(3, 2, 4, 4)


def predicted_from(x, t):
    """Stands for a network: any smooth function of picture and time."""
    return torch.tanh(x + t.view(-1, 1, 1, 1))


def scheduler_of(sampler, schedule, objective):
    """Of diffusers, which counts its steps as we do and keeps the picture within [-1, 1]."""
    return {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}[sampler](
        STEPS,
        beta_schedule=THEIRS[schedule],
        prediction_type=PREDICTION[objective],
        timestep_spacing="trailing",
        clip_sample=True,
    )


@pytest.mark.parametrize("schedule", THEIRS)
def test_the_forward_process_equals_diffusers(schedule):
    clean, noise = pictures()
    theirs = DDPMScheduler(STEPS, beta_schedule=THEIRS[schedule])
    for number in range(STEPS):
        steps = torch.full((3,), number)
        times = (steps + 1) / STEPS
        expected = theirs.add_noise(clean, noise, steps)
        torch.testing.assert_close(add_noise(clean, noise, times, schedule), expected, atol=1e-5, rtol=0)
        target = training_target(clean, noise, times, "v", schedule)
        torch.testing.assert_close(target, theirs.get_velocity(clean, noise, steps), atol=1e-5, rtol=0)
    signal, blur = signal_and_noise(schedule, torch.tensor([0.0, 0.3, 1.0]))
    torch.testing.assert_close(signal**2 + blur**2, torch.ones(3))
    assert signal[0] == 1 and signal[2] < 0.01


def test_the_flows_forward_process_equals_diffusers():
    clean, noise = pictures()
    theirs = FlowMatchEulerDiscreteScheduler(STEPS)
    for number in (0, 400, 999):
        expected = theirs.scale_noise(clean, theirs.timesteps[number : number + 1], noise)
        times = theirs.sigmas[number].expand(3)
        torch.testing.assert_close(add_noise(clean, noise, times, "flow"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-5), (8, 1e-5), (50, 1e-4)])  # rounding adds up
@pytest.mark.parametrize("objective", PREDICTION)
@pytest.mark.parametrize("schedule", THEIRS)
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_denoising_equals_diffusers(sampler, schedule, objective, steps, tolerance):
    _, noise = pictures()
    scheduler = scheduler_of(sampler, schedule, objective)
    scheduler.set_timesteps(steps)
    expected, drawn = noise, torch.Generator().manual_seed(5)
    for number in scheduler.timesteps:
        prediction = predicted_from(expected, (number + 1).expand(3) / STEPS)
        expected = scheduler.step(prediction, number, expected, generator=drawn).prev_sample
    *_, last = denoising_steps(
        predicted_from,
        noise,
        denoising_times(steps, schedule),
        sampler=sampler,
        objective=objective,
        schedule=schedule,
        generator=torch.Generator().manual_seed(5),
    )
    torch.testing.assert_close(last, expected, atol=tolerance, rtol=1e-5)


@pytest.mark.parametrize(("now", "then"), [(1, 0), (2, 1), (1000, 999), (500, 480), (20, 0), (1000, 875), (250, 125)])
@pytest.mark.parametrize("objective", PREDICTION)
@pytest.mark.parametrize("schedule", THEIRS)
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_single_step_equals_diffusers(sampler, schedule, objective, now, then):
    noisy, _ = pictures()
    scheduler = scheduler_of(sampler, schedule, objective)
    # Its own table in float32 rounds away what two neighbouring steps differ by.
    scheduler.alphas_cumprod = (1 - betas_of(schedule)).cumprod(0)
    scheduler.set_timesteps(STEPS // (now - then))
    prediction = predicted_from(noisy, torch.full((3,), now / STEPS))
    drawn = torch.Generator().manual_seed(5)
    expected = scheduler.step(prediction, now - 1, noisy, generator=drawn).prev_sample
    (ours,) = denoising_steps(
        predicted_from,
        noisy,
        torch.tensor([now, then]) / STEPS,
        sampler=sampler,
        objective=objective,
        schedule=schedule,
        generator=torch.Generator().manual_seed(5),
    )
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def betas_of(schedule):
    """β of every step in float64, from the formulas of the papers."""
    if schedule == "linear":
        return torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64)
    remaining = [math.cos((step / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2 for step in range(STEPS + 1)]
    return torch.tensor([min(1 - b / a, 0.999) for a, b in itertools.pairwise(remaining)], dtype=torch.float64)


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_following_the_flow_equals_diffusers(sampler):
    _, noise = pictures()
    kind = {"euler": FlowMatchEulerDiscreteScheduler, "heun": FlowMatchHeunDiscreteScheduler}[sampler]
    scheduler = kind(STEPS)
    steps = 8
    if sampler == "euler":
        scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).tolist())
    else:
        scheduler.set_timesteps(steps)
    times = scheduler.sigmas.unique().flip(0)  # from 1 to 0
    expected = noise
    for place, number in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[place] if sampler == "euler" else number / STEPS
        expected = scheduler.step(predicted_from(expected, sigma.expand(3)), number, expected).prev_sample
    *_, last = denoising_steps(predicted_from, noise, times, sampler=sampler)
    torch.testing.assert_close(last, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("objective", "schedule"), [("flow", "flow"), ("epsilon", "cosine"), ("v", "linear")])
def test_a_perfect_prediction_gives_picture_and_noise_back(objective, schedule):
    clean, noise = pictures()
    times = torch.tensor([0.1, 0.5, 0.9])
    noisy = add_noise(clean, noise, times, schedule)
    target = training_target(clean, noise, times, objective, schedule)
    found = clean_and_noise(noisy, target, times, objective, schedule)
    torch.testing.assert_close(found, (clean, noise), atol=1e-4, rtol=1e-4)


def test_training_times_are_whole_steps_where_the_schedule_has_steps():
    generator = torch.Generator().manual_seed(0)
    times = draw_times("cosine", 5000, generator)
    torch.testing.assert_close(times * STEPS, (times * STEPS).round())
    assert times.min() == 1 / STEPS and times.max() == 1


def test_the_flows_training_times_are_logit_normal():
    times = draw_times("flow", 5000, torch.Generator().manual_seed(0))
    assert kstest(times.logit(), "norm").pvalue > 0.05
