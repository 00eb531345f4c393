"""Rejection: draw more pictures of a caption than needed, and keep those that match it best.

With a matcher (`matcher.py`), pictures are ranked by log p(caption | picture). Without one, the denoising network ranks
them: the smaller its error at noisy versions of a picture, the more probable the picture. The ranking is by how much
the caption reduces that error,

    Σ_t ‖v(x_t, ∅) − v‖² − ‖v(x_t, caption) − v‖²,    v the target at x_t,

which estimates log p(picture | caption) − log p(picture) (Li et al. 2023; Kong et al. 2024) and is small for garbled
pictures. Razavi et al. 2019 reject by a classifier. Neither method uses the judge of the evaluation, which thus stays
impartial.
"""

import math
from fractions import Fraction

import torch
from torch import Tensor

from quartet.text_to_image.guidance import denoiser
from quartet.text_to_image.networks.text_encoder import without_caption
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.noise_schedules import add_noise, training_target

TIMES = (0.5, 0.7, 0.9)  # at less noise the picture is plain to see, so the caption adds nothing


def candidates(kept: int, rejection: float) -> int:
    """How many pictures to draw so that `kept` remain after a share `rejection` is rejected.

    Raises:
        ValueError: the share is not in [0, 1).
    """
    if not 0 <= rejection < 1:
        raise ValueError(f"rejection: found {rejection}; it must be at least 0 and below 1")
    # A decimal fraction avoids rounding: in floating point, 1 / (1 - 0.8) is a little more than 5.
    return math.ceil(kept / (1 - Fraction(str(rejection))))


@torch.no_grad()
def caption_evidence(network: TextToImage, pictures: Tensor, captions: Tensor, generator: torch.Generator) -> Tensor:
    """How well each picture matches its caption: `(batch,)`, higher is better.

    Args:
        network: a text-to-image network.
        pictures: `(batch, channels, size, size)` in [-1, 1].
        captions: `(batch, words)`.
        generator: of the noise that is added to the pictures if there is no matcher.
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
    caption_count: int,
    kept: int,
    generator: torch.Generator,
    batch_size: int,
) -> Tensor:
    """The indices of the pictures to keep: for each caption, the `kept` that match it best.

    Args:
        network: a text-to-image network.
        pictures: `(candidates · caption_count, channels, size, size)` in [-1, 1]; the captions take turns.
        captions: `(candidates · caption_count, words)`, the caption of each picture.
        caption_count: number of captions.
        kept: how many pictures to keep per caption.
        generator: as for `caption_evidence`.
        batch_size: pictures scored at once.

    Returns:
        `(kept · caption_count,)`; the captions take turns as before.
    """
    parts = zip(pictures.split(batch_size), captions.split(batch_size), strict=True)
    evidence = torch.cat([caption_evidence(network, *part, generator) for part in parts])
    of_caption = top_candidates(evidence.view(-1, caption_count).T, kept)  # (caption_count, kept)
    return (of_caption * caption_count + torch.arange(caption_count, device=evidence.device)[:, None]).T.flatten()


def top_candidates(evidence: Tensor, kept: int) -> Tensor:
    """The ascending indices of the candidates to keep: `(captions, candidates)` to `(captions, kept)`."""
    return evidence.topk(kept, dim=1).indices.sort(dim=1).values


def evaluations_per_picture(drawing: int, kept: int, rejection: float, *, matcher: bool) -> float:
    """Network evaluations per picture that is kept, if drawing one takes `drawing`; a matcher counts as one."""
    if rejection == 0:
        return drawing
    looks = 1 if matcher else 2 * len(TIMES)
    return (drawing + looks) * candidates(kept, rejection) / kept
