"""The reverse process: from noise to a picture, in denoising steps from time t to time s < t.

For a network that predicts the flow's velocity, which is integrated from t = 1 to t = 0:

    euler    x_s = x_t + (s − t) v(x_t)
    heun     the same with the mean of the velocities at the step's start and at its end

For one that predicts ε or v, which imply a picture x̂_0 (clamped to [-1, 1]) and noise ε̂:

    ddim     x_s = α_s x̂_0 + σ_s ε̂                                                          Song et al. 2021
    ddpm     x_s ~ N(μ, β̃) with a = α_t² / α_s²,                                            Ho et al. 2020
             μ = (α_s (1 − a) x̂_0 + √a σ_s² x_t) / σ_t²,    β̃ = (1 − a) σ_s² / σ_t²
"""

import collections
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from quartet.artifacts.errors import BadRequest
from quartet.artifacts.time_limits import check_time
from quartet.text_to_image.guidance import Prediction, guided
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.noise_schedules import STEPS, clean_and_noise, remaining_signal, signal_and_noise

Solver = Callable[[Tensor, Tensor], Iterator[Tensor]]  # (pictures to start from, times) -> pictures after each step
SPACING = 1.5
SAMPLERS = {"flow": ("heun", "euler"), "epsilon": ("ddim", "ddpm"), "v": ("ddim", "ddpm")}  # by objective


def denoising_times(steps: int, schedule: str) -> Tensor:
    """`(steps + 1,)` times from 1 to 0.

    For a flow they are denser near the picture, where its path bends most (Karras et al. 2022, equation 5). For
    `linear` and `cosine`, they are evenly spaced among the 1,000 steps.
    """
    times = torch.linspace(1, 0, steps + 1)
    return times**SPACING if schedule == "flow" else (times * STEPS).round() / STEPS


def denoising_steps(
    predict: Prediction,
    noise: Tensor,
    times: Tensor,
    *,
    sampler: str,
    objective: str = "flow",
    schedule: str = "flow",
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Yield the pictures after each step, `(batch, channels, size, size)`; the last ones are the result.

    Args:
        predict: the network as a function of pictures and times.
        noise: `(batch, channels, size, size)` to start from.
        times: `(steps + 1,)`, descending.
        sampler: one of `SAMPLERS[objective]`.
        objective: the network's prediction target.
        schedule: of the forward process that the network was trained with.
        generator: of the noise that `ddpm` adds.
    """
    pictures = noise
    for now, then in itertools.pairwise(times.to(noise.device)):
        check_time()
        predicted = predict(pictures, now.expand(len(pictures)))
        if sampler in ("euler", "heun"):
            ahead = pictures + (then - now) * predicted
            if sampler == "heun" and then > 0:
                mean = (predicted + predict(ahead, then.expand(len(pictures)))) / 2
                ahead = pictures + (then - now) * mean
            pictures = ahead
        else:
            clean, noise = clean_and_noise(pictures, predicted, now.expand(len(pictures)), objective, schedule)
            clean = clean.clamp(-1, 1)
            if sampler == "ddim":
                signal, blur = signal_and_noise(schedule, then)
                pictures = signal * clean + blur * noise
            else:
                pictures = _ddpm_step(pictures, clean, now, then, schedule, generator)
        yield pictures


def _ddpm_step(
    pictures: Tensor, clean: Tensor, now: Tensor, then: Tensor, schedule: str, generator: torch.Generator | None
) -> Tensor:
    signal_now, signal_then = (remaining_signal(schedule)[round(time.item() * STEPS)].item() for time in (now, then))
    kept = signal_now / signal_then
    fresh_share, noise_share = (1 - kept) / (1 - signal_now), (1 - signal_then) / (1 - signal_now)
    mean = math.sqrt(signal_then) * fresh_share * clean + math.sqrt(kept) * noise_share * pictures
    if then == 0:
        return mean
    fresh = torch.randn(pictures.shape, generator=generator, device=pictures.device)
    return mean + math.sqrt((1 - kept) * noise_share) * fresh


def network_evaluations(*, steps: int, sampler: str, guidance: float) -> int:
    """Network evaluations per picture: a Heun step counts twice (except the last), and guidance doubles the number."""
    predictions = 2 * steps - 1 if sampler == "heun" else steps
    return predictions * (1 if guidance == 1 else 2)


@torch.no_grad()
def drawing(
    network: TextToImage,
    captions: Tensor,
    noise: Tensor,
    *,
    steps: int,
    guidance: float,
    sampler: str | None = None,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Draw `(batch, words)` captions from `(batch, channels, size, size)` noise; yields the pictures after each step.

    The default `sampler` is the first one that fits the network's objective. `temperature` multiplies the noise: above
    1, pictures vary more, which makes up for the variety that guidance and blurring take away. `generator` is of the
    noise that `ddpm` adds; it must not have the initial state of the one that drew `noise`, or it would add the same
    noise again.

    Raises:
        BadRequest: the sampler does not fit the network's objective.
    """
    solve = solver(network, guided(network, captions, guidance), sampler, generator)
    yield from solve(temperature * noise, denoising_times(steps, network.schedule))


def solver(network: TextToImage, predict: Prediction, sampler: str | None, generator: torch.Generator | None) -> Solver:
    """`denoising_steps` of a network's predictions, as a function of the pictures to start from and the times.

    Raises:
        BadRequest: the sampler does not fit the network's objective.
    """
    sampler = sampler or SAMPLERS[network.objective][0]
    if sampler not in SAMPLERS[network.objective]:
        fitting = ", ".join(SAMPLERS[network.objective])
        raise BadRequest(f"a model with the objective {network.objective} takes the samplers {fitting}, not {sampler}")
    return functools.partial(
        denoising_steps,
        predict,
        sampler=sampler,
        objective=network.objective,
        schedule=network.schedule,
        generator=generator,
    )


def draw(network: TextToImage, captions: Tensor, noise: Tensor, **how: Any) -> Tensor:
    """The result of `drawing`, in [-1, 1]."""
    return final_pictures(drawing(network, captions, noise, **how)).clamp(-1, 1)


def final_pictures(pictures: Iterable[Tensor]) -> Tensor:
    """The last pictures that `drawing` yields; the earlier ones are not kept.

    Raises:
        ValueError: there are none.
    """
    kept = collections.deque(pictures, maxlen=1)
    if not kept:
        raise ValueError("no steps, so there is no picture")
    return kept.pop()


def to_uint8(pictures: Tensor) -> Tensor:
    """Convert pictures in [-1, 1] to uint8 images of the same shape; values outside the range are clamped."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
