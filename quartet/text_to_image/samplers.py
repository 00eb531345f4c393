"""The reverse process: from noise to a picture, in steps of denoising.

For a network that predicts the flow's velocity, which is followed back from t = 1 to t = 0:

    euler    x_s = x_t + (s − t) v(x_t)
    heun     the same with the mean of the velocities at the step's start and at its end

For one that predicts ε or v, from which the picture x̂_0 and the noise ε̂ follow (x̂_0 is kept within [-1, 1]):

    ddim     x_s = α_s x̂_0 + σ_s ε̂                                                          Song et al. 2021
    ddpm     x_s ~ N(μ, β̃) with a = α_t² / α_s²,                                            Ho et al. 2020
             μ = (α_s (1 − a) x̂_0 + √a σ_s² x_t) / σ_t²,    β̃ = (1 − a) σ_s² / σ_t²
"""

import collections
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from quartet.text_to_image.networks.text_encoder import without_caption
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.noise_schedules import STEPS, clean_and_noise, remaining_signal, signal_and_noise

Prediction = Callable[[Tensor, Tensor], Tensor]  # (pictures, times) -> what the network predicts
SPACING = 1.5
SAMPLERS = {"flow": ("heun", "euler"), "epsilon": ("ddim", "ddpm"), "v": ("ddim", "ddpm")}  # by objective


def denoiser(network: TextToImage, captions: Tensor) -> Prediction:
    """The network as a function of pictures and times alone: the `(batch, words)` captions are encoded once.

    On a GPU, matrix products and convolutions are in bfloat16, which shows in no picture.
    """
    on_gpu = captions.device.type == "cuda"
    with torch.autocast(captions.device.type, torch.bfloat16, enabled=on_gpu):
        encoded = network.encode(captions)

    def predict(pictures: Tensor, times: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=on_gpu):
            return network.denoise(pictures, times, *encoded).to(pictures.dtype)

    return predict


def guided(network: TextToImage, captions: Tensor, guidance: float) -> Prediction:
    """Classifier-free guidance (Ho & Salimans 2022): away from the prediction without a caption.

        v = v(∅) + g (v(caption) − v(∅))

    `guidance` 1 needs one network evaluation a step, any other value two, done as one batch.
    """
    if guidance == 1:
        return denoiser(network, captions)
    predict_both = denoiser(network, torch.cat([captions, without_caption(captions)]))

    def predict(pictures: Tensor, times: Tensor) -> Tensor:
        with_caption, without = predict_both(pictures.repeat(2, 1, 1, 1), times.repeat(2)).chunk(2)
        return without + guidance * (with_caption - without)

    return predict


def denoising_times(steps: int, schedule: str) -> Tensor:
    """`(steps + 1,)` times from 1 to 0: for a flow closer together towards the picture, where its path bends most.

    The spacing is that of Karras et al. 2022 (equation 5). `linear` and `cosine`, which have 1,000 steps, take evenly
    spaced whole ones.
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
    """The pictures on the way, each `(batch, channels, size, size)`; the last one is the result.

    Args:
        predict: asks the network.
        noise: `(batch, channels, size, size)` to begin with.
        times: `(steps + 1,)`, falling.
        sampler: one of `SAMPLERS[objective]`.
        objective: what the network predicts.
        schedule: of the forward process that it learnt.
        generator: of the noise that `ddpm` adds.
    """
    pictures = noise
    for now, then in itertools.pairwise(times.to(noise.device)):
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
    """How often the network is asked for one picture: a guided step counts two, a Heun step two (but the last)."""
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
    """The pictures on the way for `(batch, words)` captions from `(batch, channels, size, size)` noise.

    Without a `sampler` it is the first of those that fit. `temperature` multiplies the noise: above 1 the pictures vary
    more, which guidance and a network that blurs a little take from them. `generator` is of the noise that `ddpm` adds;
    one that begins as that of `noise` did would add the same noise again.

    Raises:
        ValueError: the sampler does not go with what the network predicts.
    """
    sampler = sampler or SAMPLERS[network.objective][0]
    if sampler not in SAMPLERS[network.objective]:
        fitting = ", ".join(SAMPLERS[network.objective])
        raise ValueError(f"the model predicts {network.objective}, which takes the samplers {fitting}, not {sampler}")
    yield from denoising_steps(
        guided(network, captions, guidance),
        temperature * noise,
        denoising_times(steps, network.schedule),
        sampler=sampler,
        objective=network.objective,
        schedule=network.schedule,
        generator=generator,
    )


def draw(network: TextToImage, captions: Tensor, noise: Tensor, **how: Any) -> Tensor:
    """The last of the pictures of `drawing`, in [-1, 1]."""
    return last(drawing(network, captions, noise, **how)).clamp(-1, 1)


def last(pictures: Iterable[Tensor]) -> Tensor:
    """The last of the pictures on the way; those before it are not kept.

    Raises:
        ValueError: there are none.
    """
    kept = collections.deque(pictures, maxlen=1)
    if not kept:
        raise ValueError("there is no step, so there is no picture")
    return kept.pop()


def to_uint8(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1], what is beyond taken back to it, as uint8 images of the same shape."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
