"""Draw pictures of every class, or of every caption, for the evaluation."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from quartet.text_to_image.captions.templates import Captioner
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.rejection import best_of_each, candidates, evaluations_per_picture
from quartet.text_to_image.samplers import draw, network_evaluations, to_uint8
from quartet.text_to_image.settings import EvaluateDiffusion
from quartet.training.parallel.spreading import spread


def draw_classes(
    network: TextToImage,
    captions: Captioner,
    templates: Sequence[str],
    how: EvaluateDiffusion,
    generator: torch.Generator,
    batch_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw `how.images` pictures, taking classes and templates in turn, after rejecting a share `how.rejection`.

    Returns:
        `(images, channels, size, size)` uint8 pictures, the `(images,)` labels that were asked for, and the `(images,)`
        indices of the templates.
    """
    device, classes = generator.device, len(captions.classes)
    table = captions.table(templates).to(device)  # (classes, templates, words)
    kept = math.ceil(how.images / classes)
    numbers = torch.arange(candidates(kept, how.rejection) * classes, device=device)
    labels, asked_by = numbers % classes, numbers // classes % len(templates)
    prompts = table[labels, asked_by]  # (images, words)
    pictures, chosen = draw_best(network, prompts, classes, kept, how, generator, batch_size)
    labels, asked_by = labels[chosen], asked_by[chosen]
    return to_uint8(pictures[: how.images]), labels[: how.images], asked_by[: how.images]


def draw_captions(
    network: TextToImage, captions: Tensor, how: EvaluateDiffusion, generator: torch.Generator, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Draw `how.images` pictures of captions `(captions, words)`, which take turns; fewer pictures leave some out.

    Returns:
        `(images, channels, size, size)` uint8 pictures, and the `(images,)` rows of their captions.
    """
    count = len(captions)
    kept = math.ceil(how.images / count)
    owners = torch.arange(candidates(kept, how.rejection) * count, device=captions.device) % count
    pictures, chosen = draw_best(network, captions[owners], count, kept, how, generator, batch_size)
    return to_uint8(pictures[: how.images]), owners[chosen][: how.images]


def draw_best(
    network: TextToImage,
    prompts: Tensor,
    caption_count: int,
    kept: int,
    how: EvaluateDiffusion,
    generator: torch.Generator,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """Draw a picture of each prompt `(images, words)`, and keep the best `kept` of each caption if some are rejected.

    Returns:
        The kept pictures in [-1, 1], and their places among all.
    """
    noise = torch.randn(len(prompts), *network.picture_shape, generator=generator, device=generator.device)
    parts = zip(prompts.split(batch_size), noise.split(batch_size), strict=True)

    def drawn(part: tuple[Tensor, Tensor]) -> tuple[Tensor]:
        return (draw(network, *part, generator=generator, **drawing_arguments(how)),)

    # One sampler draws noise on the way: its parts follow on each other.
    each = map(drawn, parts) if how.sampler == "ddpm" else spread(drawn, parts, noise.device)
    pictures = torch.cat([some for (some,) in each])
    if not how.rejection:
        return pictures, torch.arange(len(pictures), device=pictures.device)
    count = {"caption_count": caption_count, "kept": kept, "batch_size": batch_size}
    chosen = best_of_each(network, pictures, prompts, generator=generator, **count)
    return pictures[chosen], chosen


def fewest_pictures(captions: Captioner) -> int:
    """Two pictures of each class: the fewest whose variance can be measured."""
    return 2 * len(captions.classes)


def drawing_arguments(how: EvaluateDiffusion) -> dict[str, Any]:
    """The settings that `drawing` takes, as keyword arguments."""
    return {"steps": how.steps, "guidance": how.guidance, "temperature": how.temperature, "sampler": how.sampler}


def network_evaluations_per_picture(network: TextToImage, how: EvaluateDiffusion, classes: int) -> float:
    """Network evaluations per picture that is kept; a matcher counts as one."""
    to_draw = network_evaluations(steps=how.steps, sampler=how.sampler, guidance=how.guidance)
    matcher = network.matcher is not None
    return evaluations_per_picture(to_draw, math.ceil(how.images / classes), how.rejection, matcher=matcher)
