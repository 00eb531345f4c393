"""Rejection: of the pictures drawn for a caption, those are kept that show most of it.

A network with a matcher (`matcher.py`) asks it for log p(caption | picture). Without one, the denoising network itself
tells how likely a picture is: the smaller its error at the picture's noisy versions, the likelier. What the caption
takes off that error,

    Σ_t ‖v(x_t, ∅) − v‖² − ‖v(x_t, caption) − v‖²,    v the target at x_t,

stands for log p(picture | caption) − log p(picture) (Li et al. 2023; Kong et al. 2024), of which a garbled picture has
little. Razavi et al. 2019 reject by a classifier. Neither way asks the judge of the evaluation, which stays impartial.
"""

import math
from fractions import Fraction

import torch
from torch import Tensor

from quartet.text_to_image.networks.text_encoder import without_caption
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.noise_schedules import add_noise, training_target
from quartet.text_to_image.samplers import denoiser

TIMES = (0.5, 0.7, 0.9)  # a little noise hides nothing of a picture, and a caption tells nothing new of it then


def candidates(kept: int, rejection: float) -> int:
    """How many pictures to draw so that `kept` remain when a share of `rejection` is left out.

    Raises:
        ValueError: the share is not in [0, 1).
    """
    if not 0 <= rejection < 1:
        raise ValueError(f"rejection is {rejection}; a share of at least 0 and below 1 can be left out")
    # As the decimal number that was written: 1 / (1 - 0.8) is a little more than 5.
    return math.ceil(kept / (1 - Fraction(str(rejection))))


@torch.no_grad()
def caption_evidence(network: TextToImage, pictures: Tensor, captions: Tensor, generator: torch.Generator) -> Tensor:
    """How much of its caption the network finds in each picture: `(batch,)`.

    Args:
        network: text to image.
        pictures: `(batch, channels, size, size)` in [-1, 1].
        captions: `(batch, words)`.
        generator: of the noise that the pictures are seen through where there is no matcher.
    """
    if network.matcher is not None:
        return network.matcher.log_likelihood(pictures, captions)
    predict = denoiser(network, torch.cat([captions, without_caption(captions)]))
    evidence = torch.zeros(len(pictures), device=pictures.device)
    for time in TIMES:
        times = torch.full((len(pictures),), time, device=pictures.device)
        noise = torch.randn(pictures.shape, generator=generator, device=pictures.device)
        noisy = add_noise(pictures, noise, times, network.schedule)
        target = training_target(pictures, noise, times, network.objective, network.schedule)
        predicted = predict(noisy.repeat(2, 1, 1, 1), times.repeat(2))
        errors = (predicted - target.repeat(2, 1, 1, 1)).square().flatten(1).sum(dim=1)  # (2 × batch,)
        with_caption, without = errors.chunk(2)
        evidence += without - with_caption
    return evidence


def best_of_each(
    network: TextToImage,
    pictures: Tensor,
    captions: Tensor,
    *,
    asked: int,
    kept: int,
    generator: torch.Generator,
    batch_size: int,
) -> Tensor:
    """Numbers of the pictures to keep: of each caption the `kept` that show most of it.

    Args:
        network: text to image.
        pictures: `(candidates · asked, channels, size, size)` in [-1, 1], the captions taking turns.
        captions: `(candidates · asked, words)`, what each picture was drawn for.
        asked: how many captions there are.
        kept: pictures to keep of each.
        generator: as for `caption_evidence`.
        batch_size: pictures looked at once.

    Returns:
        `(kept · asked,)`, the captions taking turns as before.
    """
    parts = zip(pictures.split(batch_size), captions.split(batch_size), strict=True)
    evidence = torch.cat([caption_evidence(network, *part, generator) for part in parts])
    of_caption = strongest(evidence.view(-1, asked).T, kept)  # (asked, kept)
    return (of_caption * asked + torch.arange(asked, device=evidence.device)[:, None]).T.flatten()


def strongest(evidence: Tensor, kept: int) -> Tensor:
    """Numbers of the candidates to keep, in their own order: `(captions, candidates)` to `(captions, kept)`."""
    return evidence.topk(kept, dim=1).indices.sort(dim=1).values


def evaluations_per_picture(drawing: int, kept: int, rejection: float, *, matcher: bool) -> float:
    """How often a network is asked for one picture that is kept: `drawing` times to draw one, a matcher once."""
    if rejection == 0:
        return drawing
    looks = 1 if matcher else 2 * len(TIMES)
    return (drawing + looks) * candidates(kept, rejection) / kept
