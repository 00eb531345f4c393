"""Draw from a given picture: variations of it, or new pixels in a part of it.

variation   start at t₀ = strength from x_t₀ = α_t₀ x_0 + σ_t₀ τ ε          SDEdit, Meng et al. 2022
filling     after each step from t to s, with hole m:                       RePaint, Lugmayr et al. 2022
            x_s = m x_s(drawn) + (1 − m) (α_s x_0 + σ_s ε)

τ is the temperature of the noise that drawing starts from.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from quartet.text_to_image.noise_schedules import STEPS, add_noise, signal_and_noise
from quartet.text_to_image.samplers import Solver

RESAMPLINGS = 10  # as in the paper


@dataclasses.dataclass(frozen=True)
class GivenPicture:
    """A picture to start from.

    Attributes:
        pixels: `(channels, size, size)` in [-1, 1].
        strength: the time to start at, in [0, 1]: 0 leaves the picture as it is, 1 starts from noise alone.
        hole: `(size, size)`, True at the pixels to draw; None if all are.
        resamplings: how often each step is drawn, if there is a hole.
    """

    pixels: Tensor
    strength: float = 1.0
    hole: Tensor | None = None
    resamplings: int = RESAMPLINGS


def redrawing(
    solve: Solver, given: GivenPicture, noise: Tensor, times: Tensor, schedule: str, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield the pictures after each step, `(batch, channels, size, size)`; the last ones are the result.

    Args:
        solve: takes the steps.
        given: the picture to start from.
        noise: `(batch, channels, size, size)`.
        times: `(steps + 1,)` from 1 to 0; they are shortened to begin at the strength.
        schedule: of the forward process.
        generator: of the noise of the known pixels.
    """
    times = _from_strength(times, given.strength, schedule)
    clean = given.pixels.expand_as(noise)
    start = add_noise(clean, noise, times[0].expand(len(noise)), schedule)
    if len(times) == 1:  # no noise, so nothing to draw
        yield start
    elif given.hole is None:
        yield from solve(start, times)
    else:
        yield from _filling(solve, clean, given.hole, start, times, schedule, given.resamplings, generator)


def _from_strength(times: Tensor, strength: float, schedule: str) -> Tensor:
    """As many times from `strength` to 0; fewer where a schedule has no step between two."""
    times = strength * times
    return torch.unique_consecutive(times if schedule == "flow" else (times * STEPS).round() / STEPS)


def _filling(
    solve: Solver,
    clean: Tensor,
    hole: Tensor,
    pictures: Tensor,
    times: Tensor,
    schedule: str,
    resamplings: int,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Draw the pixels in the hole; the known ones come from the forward process, and at last are those of `clean`.

    A step is drawn several times, with noise added in between, so that the drawn part gets to fit the known one. The
    first step from noise alone, which would forget, and the last one are drawn once.
    """
    for now, then in itertools.pairwise(times):
        for left in reversed(range(resamplings if now < 1 and then > 0 else 1)):
            *_, drawn = solve(pictures, torch.stack([now, then]))
            fresh = torch.randn(clean.shape, generator=generator, device=clean.device)
            pictures = torch.where(hole, drawn, add_noise(clean, fresh, then.expand(len(clean)), schedule))
            if left:
                pictures = noised_again(pictures, then, now, schedule, generator)
        yield pictures


def noised_again(pictures: Tensor, then: Tensor, now: Tensor, schedule: str, generator: torch.Generator) -> Tensor:
    """The forward process from time s = `then` to t = `now` > s.

    x_t ~ N(a x_s, σ_t² − a² σ_s²),    a = α_t / α_s
    """
    (signal_then, blur_then), (signal_now, blur_now) = (signal_and_noise(schedule, time) for time in (then, now))
    kept = signal_now / signal_then
    fresh = torch.randn(pictures.shape, generator=generator, device=pictures.device)
    return kept * pictures + (blur_now**2 - (kept * blur_then) ** 2).clamp(min=0).sqrt() * fresh
