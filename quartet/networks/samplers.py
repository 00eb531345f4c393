"""The reverse process: from noise to a picture, by following the predicted velocity back from t = 1 to t = 0."""

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from quartet.networks.text_encoder import without_caption

VelocityOf = Callable[[Tensor, Tensor], Tensor]  # (pictures, times) -> velocity


def guided(network: Callable[[Tensor, Tensor, Tensor], Tensor], captions: Tensor, guidance: float) -> VelocityOf:
    """Classifier-free guidance (Ho & Salimans 2022): away from the prediction without a caption.

        v = v(∅) + g (v(caption) − v(∅))

    `guidance` 1 needs one network evaluation a step, any other value two, done as one batch.
    """

    def velocity_of(pictures: Tensor, times: Tensor) -> Tensor:
        if guidance == 1:
            return network(pictures, times, captions)
        both = torch.cat([captions, without_caption(captions)])
        with_caption, without = network(pictures.repeat(2, 1, 1, 1), times.repeat(2), both).chunk(2)
        return without + guidance * (with_caption - without)

    return velocity_of


def denoising_steps(velocity_of: VelocityOf, noise: Tensor, *, steps: int, sampler: str) -> Iterator[Tensor]:
    """The pictures on the way, `steps` of them, each `(batch, channels, size, size)`; the last one is the result.

    `euler` follows the velocity at each step's start; `heun` averages it with that at the step's end.
    """
    pictures = noise
    times = torch.linspace(1, 0, steps + 1, device=noise.device)
    for now, then in itertools.pairwise(times):
        velocity = velocity_of(pictures, now.expand(len(pictures)))
        ahead = pictures + (then - now) * velocity
        if sampler == "heun" and then > 0:
            velocity = (velocity + velocity_of(ahead, then.expand(len(pictures)))) / 2
            ahead = pictures + (then - now) * velocity
        pictures = ahead
        yield pictures


def network_evaluations(*, steps: int, sampler: str, guidance: float) -> int:
    """How often the network is asked for one picture: a guided step counts two, a Heun step two (but the last)."""
    velocities = 2 * steps - 1 if sampler == "heun" else steps
    return velocities * (1 if guidance == 1 else 2)


@torch.no_grad()
def draw(
    network: torch.nn.Module,
    captions: Tensor,
    noise: Tensor,
    *,
    steps: int,
    guidance: float,
    sampler: str,
) -> Tensor:
    """Pictures in [-1, 1] for `(batch, words)` captions from `(batch, channels, size, size)` noise."""
    result = noise
    for pictures in denoising_steps(guided(network, captions, guidance), noise, steps=steps, sampler=sampler):
        result = pictures
    return result.clamp(-1, 1)
