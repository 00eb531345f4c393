"""The forward process: how a picture turns into noise, and what the network learns to predict.

At time t, from 0 (the picture x_0) to 1 (noise), q(x_t | x_0) is

    x_t = α_t x_0 + σ_t ε,    ε ~ N(0, 1),

with a schedule of α and σ:

    flow      α = 1 − t, σ = t                             rectified flow (Liu et al. 2022; Lipman et al. 2022)
    linear    α² = Π (1 − β), β from 1e-4 to 0.02          Ho et al. 2020
    cosine    α² ∝ cos²((t + 0.008) / 1.008 · π / 2)       Nichol & Dhariwal 2021
    σ² = 1 − α² for the last two, which have 1,000 steps.

and an objective, the network's prediction target:

    epsilon   ε                         Ho et al. 2020
    v         α ε − σ x_0               Salimans & Ho 2022
    flow      dx_t/dt = ε − x_0         the velocity of the straight path, with the schedule `flow`
"""

import functools
import math

import torch
from torch import Tensor

STEPS = 1000  # of the schedules `linear` and `cosine`


def signal_and_noise(schedule: str, times: Tensor) -> tuple[Tensor, Tensor]:
    """α and σ at times in [0, 1], each in the shape of `times`; `linear` and `cosine` round to whole steps."""
    if schedule == "flow":
        return 1 - times, times
    step = (times * STEPS).round().long()
    signal, blur = _roots(schedule, times.device)
    return signal[step], blur[step]


def _per_picture(schedule: str, times: Tensor) -> list[Tensor]:
    """α and σ at the time of each picture, `(batch, 1, 1, 1)` each."""
    return [values.view(-1, 1, 1, 1) for values in signal_and_noise(schedule, times)]


@functools.cache
def _roots(schedule: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """α and σ after 0, 1, …, STEPS steps, `(STEPS + 1,)` each."""
    remaining = remaining_signal(schedule)
    return remaining.sqrt().float().to(device), (1 - remaining).sqrt().float().to(device)


@functools.cache
def remaining_signal(schedule: str) -> Tensor:
    """α² after 0, 1, …, STEPS steps: `(STEPS + 1,)` float64, since small differences matter."""
    if schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64)
    else:
        places = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
        wanted = torch.cos((places + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - wanted[1:] / wanted[:-1]).clamp(max=0.999)
    return torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])


def draw_times(schedule: str, count: int, generator: torch.Generator) -> Tensor:
    """Draw training times: `(count,)`.

    For `flow` they are logit-normal in (0, 1): most are near the middle, where the velocity is hardest to predict
    (Esser et al. 2024). For the other schedules, they are uniform over the steps.
    """
    if schedule == "flow":
        return torch.sigmoid(torch.randn(count, generator=generator, device=generator.device))
    return torch.randint(1, STEPS + 1, (count,), generator=generator, device=generator.device) / STEPS


def add_noise(clean: Tensor, noise: Tensor, times: Tensor, schedule: str = "flow") -> Tensor:
    """The noisy pictures x_t between `clean` (t = 0) and `noise` (t = 1).

    Args:
        clean, noise: `(batch, channels, size, size)`.
        times: `(batch,)` in [0, 1].
        schedule: `flow`, `linear` or `cosine`.
    """
    signal, blur = _per_picture(schedule, times)
    return signal * clean + blur * noise


def training_target(clean: Tensor, noise: Tensor, times: Tensor, objective: str, schedule: str) -> Tensor:
    """The network's prediction target, in the pictures' shape."""
    if objective == "flow":
        return noise - clean
    if objective == "epsilon":
        return noise
    signal, blur = _per_picture(schedule, times)
    return signal * noise - blur * clean


def clean_and_noise(
    pictures: Tensor, predicted: Tensor, times: Tensor, objective: str, schedule: str
) -> tuple[Tensor, Tensor]:
    """The picture x_0 and the noise ε that a prediction at `x_t` implies: the inverse of `training_target`."""
    signal, blur = _per_picture(schedule, times)
    if objective == "flow":
        return pictures - blur * predicted, pictures + signal * predicted
    if objective == "epsilon":
        return (pictures - blur * predicted) / signal, predicted
    return signal * pictures - blur * predicted, blur * pictures + signal * predicted


def to_signed(images: Tensor) -> Tensor:
    """Scale uint8 images to pictures in [-1, 1], the range of the forward process."""
    return images.float() / 127.5 - 1
