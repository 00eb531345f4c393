"""Forward and reverse processes, held against diffusers' schedulers."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler
from scipy.stats import kstest

from quartet.networks.noise_schedules import (
    STEPS,
    add_noise,
    clean_and_noise,
    draw_times,
    signal_and_noise,
    training_target,
)
from quartet.networks.samplers import denoising_steps, denoising_times

THEIRS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
PREDICTION = {"epsilon": "epsilon", "v": "v_prediction"}


def pictures():
    torch.manual_seed(0)
    return torch.rand(3, 2, 4, 4) * 2 - 1, torch.randn(3, 2, 4, 4)


def predicted_from(x, t):
    """Stands for a network: any smooth function of picture and time."""
    return torch.tanh(x + t.view(-1, 1, 1, 1))


@pytest.mark.parametrize("schedule", THEIRS)
def test_the_forward_process_equals_diffusers(schedule):
    clean, noise = pictures()
    theirs = DDPMScheduler(STEPS, beta_schedule=THEIRS[schedule])
    for number in (0, 1, 400, 997, 999):
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
    scheduler = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}[sampler](
        STEPS,
        beta_schedule=THEIRS[schedule],
        prediction_type=PREDICTION[objective],
        timestep_spacing="trailing",
        clip_sample=True,
    )
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
