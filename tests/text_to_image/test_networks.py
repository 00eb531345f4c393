"""The networks of text to image."""

import itertools

import pytest
import torch
from networks import TEXT_TO_IMAGE, build
from torch import nn

from quartet.text_to_image.networks.unet import patch_side


@torch.no_grad()
def test_maps_normalised_in_one_group_lie_channels_last_which_changes_no_answer():
    network = build({**TEXT_TO_IMAGE, "size": 28, "matched_words": [3, 5], "norm_groups": 1}).eval()
    nn.init.normal_(network.unet.leave.weight)  # zeros at first
    normalised = []
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_hook(lambda norm, maps, _: normalised.append((norm.num_groups, maps[0])))
    pictures, times, captions = torch.randn(2, 1, 28, 28), torch.rand(2), torch.tensor([[1, 2, 3, 0], [1, 0, 0, 0]])
    answers = network(pictures, times, captions), network.matcher(pictures)
    assert {groups for groups, _ in normalised} == {1}
    assert all(maps.is_contiguous(memory_format=torch.channels_last) for _, maps in normalised)
    network.to(memory_format=torch.contiguous_format)
    others = network(pictures, times, captions), network.matcher(pictures)
    assert not normalised[-1][1].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(answers, others, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "side"), [(8, 1), (16, 1), (24, 2), (28, 2), (32, 2), (48, 3), (29, 1)])
def test_the_unets_patches_leave_it_at_most_16_places_in_a_row_where_the_size_can_be_divided(size, side):
    assert patch_side(size) == side


def test_a_picture_depends_on_every_word_of_its_caption_and_not_on_padding():
    torch.manual_seed(0)
    # In double precision: sums over other lengths are rounded otherwise.
    network = build({**TEXT_TO_IMAGE, "words": 5}).eval().double()
    network.unet.time.register_forward_pre_hook(lambda _, waves: (waves[0].double(),))
    nn.init.normal_(network.unet.leave.weight)  # it begins as zeros
    captions = torch.tensor([[1, 2, 3, 0, 0], [1, 4, 3, 0, 0], [1, 2, 4, 0, 0], [1, 3, 2, 0, 0]])
    pictures = torch.randn(1, 1, 16, 16, dtype=torch.float64).expand(4, -1, -1, -1)
    times = torch.full((4,), 0.5, dtype=torch.float64)
    with torch.no_grad():
        predicted = network(pictures, times, captions)
        unpadded = network(pictures, times, captions[:, :3])
        network.text_encoder.embedding.weight[0] += 1  # of padding
        torch.testing.assert_close(network(pictures, times, captions), predicted)
    torch.testing.assert_close(unpadded, predicted)
    for first, second in itertools.combinations(predicted, 2):
        assert not torch.allclose(first, second, atol=1e-3)
