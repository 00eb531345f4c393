"""The networks that classify images."""

import pytest
import torch
from networks import build
from torch import nn
from torchvision.models.resnet import BasicBlock

from quartet.images.networks.residual import ResidualBlock
from quartet.layers.layer_table import layers_of

COMPACT = {
    "name": "compact",
    "channels": 1,
    "size": 28,
    "classes": 7,
    "width": 8,
    "dropout": 0.1,
    "activation": "relu",
}


@pytest.mark.parametrize("size", [8, 9, 16, 28, 32, 48])
@pytest.mark.parametrize("channels", [1, 3])
def test_image_networks_size_themselves(size, channels):
    arguments = {"channels": channels, "size": size}
    images = torch.randn(2, channels, size, size)
    sides = {}
    for stem in ("strided", "plain"):
        compact = build({**COMPACT, "stem": stem, **arguments})
        assert compact(images).shape == (2, 7)
        sides[stem] = compact.stem(images).shape[-1]
    assert sides == {"strided": size if size < 16 else (size - 3) // 2, "plain": size}
    if size != 9:
        text = {"vocabulary_size": 9, "words": 4, "text_width": 16, "text_layers": 1, "text_heads": 2}
        network = build({"name": "text-to-image", "width": 8, "dropout": 0.0, **text, **arguments})
        pictures = torch.randn(2, channels, size, size)
        captions = torch.tensor([[1, 2, 3, 0], [1, 0, 0, 0]])
        assert network(pictures, torch.rand(2), captions).shape == pictures.shape


@pytest.mark.parametrize(("size", "side"), [(8, 4), (9, 4), (28, 7), (32, 4), (96, 6)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_residual_network_halves_the_side_until_it_is_below_8(size, side, channels):
    network = build({**COMPACT, "name": "residual", "channels": channels, "size": size})
    images = torch.randn(2, channels, size, size)
    assert network(images).shape == (2, 7)
    assert network.stem(images).shape == (2, 4, size, size)
    assert network.levels(network.stem(images)).shape[-2:] == (side, side)


def test_a_residual_block_is_torchvisions():
    ours, theirs = ResidualBlock(6, "relu"), BasicBlock(6, 6)
    names = {"conv1": ours.first.convolution, "bn1": ours.first.normalisation, "conv2": ours.second}
    for name, module in {**names, "bn2": ours.normalisation}.items():
        getattr(theirs, name).load_state_dict(module.state_dict())
    maps = torch.randn(4, 6, 5, 5)
    torch.testing.assert_close(ours(maps), theirs(maps))


def test_the_reference_network_is_the_textbooks():
    network = build({"name": "reference", "classes": 43, "dropout": 0.5, "activation": "relu"})
    layers = {layer.name: layer for layer in layers_of(network)}
    assert [(name, layer.output, layer.parameters) for name, layer in layers.items() if layer.parameters] == [
        ("convolution1", (32, 48, 48), 896),
        ("convolution2", (64, 48, 48), 18_496),
        ("convolution3", (128, 24, 24), 73_856),
        ("hidden", (512,), 128 * 12 * 12 * 512 + 512),
        ("classifier", (43,), 512 * 43 + 43),
    ]
    assert layers["pooling1"].output == (64, 24, 24) and layers["pooling2"].output == (128, 12, 12)


def test_the_reference_networks_layers_come_in_the_textbooks_order_with_its_shapes():
    network = build({"name": "reference", "classes": 43, "dropout": 0.5, "activation": "relu"})
    assert [(layer.kind, layer.output) for layer in layers_of(network)] == [
        ("Conv2d", (32, 48, 48)),
        ("ReLU", (32, 48, 48)),
        ("Conv2d", (64, 48, 48)),
        ("ReLU", (64, 48, 48)),
        ("MaxPool2d", (64, 24, 24)),
        ("Conv2d", (128, 24, 24)),
        ("ReLU", (128, 24, 24)),
        ("MaxPool2d", (128, 12, 12)),
        ("Flatten", (128 * 12 * 12,)),
        ("Dropout", (128 * 12 * 12,)),
        ("Linear", (512,)),
        ("ReLU", (512,)),
        ("Dropout", (512,)),
        ("Linear", (43,)),
    ]
    of_kind = {
        kind: [m for m in network.modules() if type(m) is kind] for kind in (nn.Conv2d, nn.MaxPool2d, nn.Dropout)
    }
    shapes = {(m.kernel_size, m.stride, m.padding) for m in of_kind[nn.Conv2d]}
    assert shapes == {((3, 3), (1, 1), (1, 1))}
    assert [(m.kernel_size, m.stride) for m in of_kind[nn.MaxPool2d]] == [(2, 2)] * 2
    assert [m.p for m in of_kind[nn.Dropout]] == [0.5, 0.5]


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu"])
def test_the_named_activation_is_used(activation):
    layers = layers_of(build({**COMPACT, "activation": activation}))
    kinds = {layer.kind.lower() for layer in layers if layer.name.endswith("activation")}
    assert kinds == {activation.replace("_", "")}
