"""Attention and positional encodings, held against torch's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from quartet.layers.attention import MultiHeadAttention, attention
from quartet.layers.positional_encoding import RotaryPosition


@pytest.mark.parametrize("causal", [True, False])
def test_attention_equals_torchs_fused_one(causal):
    q, k, v = torch.randn(3, 2, 4, 7, 8).unbind()
    torch.testing.assert_close(
        attention(q, k, v, causal=causal), F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    )


def test_multi_head_attention_equals_torchs_module():
    ours, theirs = MultiHeadAttention(16, 4), nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.out_proj.weight.copy_(ours.output.weight)
    tokens, mask = torch.randn(2, 5, 16), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    torch.testing.assert_close(ours(tokens, mask=mask), theirs(tokens, tokens, tokens, key_padding_mask=~mask)[0])


def test_rotary_scores_depend_on_the_distance_alone():
    rotary = RotaryPosition(20, 8)
    query, key = torch.randn(2, 1, 1, 1, 8)
    turned_q, turned_k = rotary(query.expand(1, 1, 20, 8)), rotary(key.expand(1, 1, 20, 8))
    scores = (turned_q @ turned_k.transpose(-2, -1))[0, 0]
    torch.testing.assert_close(scores[3, 1], scores[17, 15], rtol=1e-4, atol=1e-4)
