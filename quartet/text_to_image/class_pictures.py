"""Draw pictures of every class for the evaluation."""

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
    noise = torch.randn(len(numbers), *network.picture_shape, generator=generator, device=device)
    parts = zip(prompts.split(batch_size), noise.split(batch_size), strict=True)
    pictures = torch.cat([draw(network, *part, generator=generator, **drawing_arguments(how)) for part in parts])
    if how.rejection:
        chosen = best_of_each(
            network, pictures, prompts, caption_count=classes, kept=kept, generator=generator, batch_size=batch_size
        )
        pictures, labels, asked_by = pictures[chosen], labels[chosen], asked_by[chosen]
    return to_uint8(pictures[: how.images]), labels[: how.images], asked_by[: how.images]


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
