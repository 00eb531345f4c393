"""Networks that were trained on photographs before, with a new classifier: EfficientNet-Lite0 or torchvision's.

Their weights are taken over from `data/raw/weights/cnn` (`training/start_weights.py`).
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.artifacts.errors import BadInput
from quartet.images.networks.efficientnet_lite import EfficientNetLite0
from quartet.images.networks.interface import ImageNetwork

TORCHVISION = "torchvision:"
LITE0 = "efficientnet-lite0"
USUAL_SIZE = 224  # to which images are brought for a body that does not take theirs
# They have no auxiliary heads, no slow initialisation, and take images that are standardised as for the others.
_INCEPTION = {"aux_logits": False, "init_weights": False, "transform_input": True}
ARGUMENTS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}
SIZES = {"inception_v3": 299}


class Backbone(ImageNetwork):
    """A body that turns photographs into features, and a linear classifier.

    Args:
        body: `efficientnet-lite0`, or `torchvision:NAME`.
        channels, size: of the input images, `(batch, channels, size, size)`.
        classes: number of logits.
        dropout: before the classifier.
        input_size: the side to which images are brought first; None if the body takes them as they are.
        scale, shift: what images are multiplied by and what is added, per channel: from the standardisation of these
            images to that with which the body was trained; None to leave them.
        keeps_statistics: batch normalisation keeps the means and deviations that the body came with.
    """

    def __init__(
        self,
        *,
        body: str,
        channels: int,
        size: int,
        classes: int,
        dropout: float,
        input_size: int | None = None,
        scale: Sequence[float] | None = None,
        shift: Sequence[float] | None = None,
        keeps_statistics: bool = False,
    ):
        super().__init__()
        self.image_shape, self.input_size, self.keeps_statistics = (channels, size, size), input_size, keeps_statistics
        self.body, features = build_body(body)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, classes)
        self.restandardised = scale is not None
        for name, values in (("scale", scale), ("shift", shift)):
            self.register_buffer(name, torch.tensor(values or [0.0]).view(1, -1, 1, 1), persistent=False)
        self.scale: Tensor
        self.shift: Tensor

    def features_of(self, images: Tensor) -> Tensor:
        """The output of the body, `(batch, features)`."""
        if self.restandardised:
            images = images * self.scale + self.shift  # one channel becomes three, if the body was trained with colours
        images = images.expand(-1, 3, -1, -1)
        if self.input_size and self.input_size != images.shape[-1]:
            images = F.interpolate(images, (self.input_size, self.input_size), mode="bilinear", antialias=True)
        return self.body(images)

    def classify(self, features: Tensor) -> Tensor:
        """Features to `(batch, classes)` logits."""
        return self.classifier(self.dropout(features))

    def train(self, mode: bool = True) -> "Backbone":
        """Switch dropout on; batch normalisation stays in evaluation mode if it keeps its statistics."""
        super().train(mode)
        if self.keeps_statistics:
            for module in self.body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images of zeros."""
        return (self.classifier.weight.new_zeros(2, *self.image_shape),)


def torchvision_weights(name: str) -> Any:
    """The weights that torchvision recommends for a network or, of a vision transformer, those for the usual size."""
    from torchvision import models  # takes a while to import

    kinds: Any = models.get_model_weights(name.removeprefix(TORCHVISION))
    if not kinds.__name__.startswith("ViT"):
        return kinds.DEFAULT
    return next(each for each in reversed(kinds) if each.meta["min_size"][0] <= USUAL_SIZE)


def standardisation_of(name: str) -> tuple[list[float], list[float]]:
    """Mean and deviation by which images were standardised when the body was trained on ImageNet."""
    if name == LITE0:
        return [127 / 255] * 3, [128 / 255] * 3
    transforms = torchvision_weights(name).transforms()
    return list(transforms.mean), list(transforms.std)


def build_body(name: str) -> tuple[nn.Module, int]:
    """A network without its classifier, and the number of its features.

    Raises:
        BadInput: torchvision has no such network.
    """
    if name == LITE0:
        return EfficientNetLite0(), 1280
    from torchvision import models  # takes a while to import

    known = models.list_models(module=models)
    wanted = name.removeprefix(TORCHVISION)
    if wanted not in known:
        raise BadInput(f"train_cnn.network: torchvision has no network {wanted!r}; it has {', '.join(known)}")
    body = models.get_model(wanted, weights=None, **ARGUMENTS.get(wanted, {}))
    if isinstance(body, models.MNASNet):  # it refuses weights without a version number, which safetensors do not keep
        body._load_from_state_dict = functools.partial(nn.Module._load_from_state_dict, body)
    layers = [(place, module) for place, module in body.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    place, head = layers[-1]
    body.set_submodule(place, nn.Identity())
    owner, _, number = place.rpartition(".")
    before = f"{owner}.{int(number) - 1}" if number.isdigit() and int(number) else ""
    dropout = body.get_submodule(before)
    if isinstance(dropout, nn.Dropout):
        dropout.p = 0.0  # ours comes instead
    return body, head.in_features if isinstance(head, nn.Linear) else head.in_channels


def input_size_for(name: str, size: int) -> int | None:
    """The side to which images of this `size` must be brought for a body; None if it takes them as they are.

    Raises:
        BadInput: the body takes no image.
    """
    wanted = SIZES.get(name.removeprefix(TORCHVISION), USUAL_SIZE)
    body, features = build_body(name)
    body.to("meta").eval()  # shapes alone: it takes no time
    for side in (size, wanted):
        try:
            with torch.no_grad():
                found = body(torch.zeros(2, 3, side, side, device="meta"))
        except (RuntimeError, AssertionError, ValueError):
            continue
        if found.shape == (2, features):
            return None if side == size else side
    raise BadInput(f"train_cnn.network: {name} takes no images of {size} or {wanted} pixels")
