"""Fine-tuning of a body that has been trained before: rates by layer, and features that are computed once."""

import re
import sys
from collections.abc import Callable

import torch
from rich.progress import track
from torch import Tensor, nn

from quartet.datasets.images import Images, to_unit_range
from quartet.images.networks.backbone import Backbone

BATCH = 64  # images whose features are computed at once


def layer_factors(network: nn.Module, decay: float) -> dict[str, float]:
    """Factors on the learning rate of the body's weights, by name (Howard & Ruder 2018).

    The block below the classifier has `decay`, the next one below `decay`², and so on. A block is what a name up to
    its first part with a number means, such as `layer1` of a ResNet or `Mixed_5b` of Inception.
    """
    blocks = {name: _block(name) for name, _ in network.get_submodule("body").named_parameters()}
    parts = {block.partition(".")[0] for block in blocks.values() if "." in block}
    # What has no number is one block by its first part, such as `stem`, unless that has numbered blocks as well.
    blocks = {
        name: name.rpartition(".")[0] or name if block == name.partition(".")[0] in parts else block
        for name, block in blocks.items()
    }
    order = list(dict.fromkeys(blocks.values()))
    return {f"body.{name}": decay ** (len(order) - order.index(block)) for name, block in blocks.items()}


def _block(name: str) -> str:
    numbered = re.match(r"(?:[^.\d]*\.)*?[^.\d]*\d[^.]*(?=\.)", name)
    return numbered.group() if numbered else name.partition(".")[0]


@torch.no_grad()
def features_of_views(
    network: Backbone, images: Images, normalised: Callable[[Tensor], Tensor], *, flipped: bool
) -> Tensor:
    """The features of uint8 `images` and, if `flipped`, of their mirror images: `(views, images, features)`.

    `normalised` turns images in [0, 1] into network inputs.
    """
    was_training = network.training
    network.eval()
    views = []
    for mirrored in (False, True) if flipped else (False,):
        found = []
        parts = list(images.split(BATCH)) if isinstance(images, Tensor) else images.split(BATCH)
        what = "features of mirrored images" if mirrored else "features of images"
        for part in track(parts, what, disable=not sys.stdout.isatty()):
            pixels = to_unit_range(part.flip(3) if mirrored else part)
            found.append(network.features_of(normalised(pixels)))
        views.append(torch.cat(found))
    network.train(was_training)  # a step that is under way goes on with dropout
    return torch.stack(views)
