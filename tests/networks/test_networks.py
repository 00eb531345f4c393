"""The networks, held against torch's own and against their equations."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from quartet.networks.attention import MultiHeadAttention, attention
from quartet.networks.building import build_network, count_parameters, rebuild_network
from quartet.networks.layer_table import layer_table
from quartet.networks.noise_schedules import add_noise, training_target
from quartet.networks.positional_encoding import RotaryPosition
from quartet.networks.samplers import denoising_steps, denoising_times, drawing, guided, network_evaluations
from quartet.networks.unet import patch_side

COMPACT = {
    "name": "compact",
    "channels": 1,
    "size": 28,
    "classes": 7,
    "width": 8,
    "dropout": 0.1,
    "activation": "relu",
}
RECURRENT = {
    "name": "recurrent",
    "features": 3,
    "classes": 5,
    "cell": "lstm",
    "hidden_size": 6,
    "layers": 2,
    "bidirectional": True,
    "pooling": "last",
    "dropout": 0.1,
}
TEXT_TO_IMAGE = {
    "name": "text-to-image",
    "channels": 1,
    "size": 16,
    "vocabulary_size": 9,
    "words": 4,
    "width": 8,
    "text_width": 16,
    "text_layers": 1,
    "text_heads": 2,
    "dropout": 0.0,
}
LM = {"name": "decoder", "vocabulary_size": 50, "context": 16, "width": 32, "layers": 2, "heads": 4, "dropout": 0.0}

DECODER = {**LM, "position": "rotary"}
POSITIONS = ("rotary", "sinusoidal", "learned", "none")
RECURRENT_LM = {
    "name": "recurrent-language-model",
    "vocabulary_size": 50,
    "context": 16,
    "width": 32,
    "layers": 2,
    "dropout": 0.0,
}


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


@pytest.mark.parametrize("position", ["rotary", "sinusoidal", "learned", "none"])
def test_the_decoder_does_not_see_the_future(position):
    network = build_network({**LM, "position": position}).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    tokens = torch.randint(50, (2, 16))
    changed = tokens.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 50
    before, after = network(tokens), network(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


def test_lstm_and_gru_follow_the_equations_of_the_docstring():
    x = torch.randn(1, 6, 3)
    lstm, gru = nn.LSTM(3, 4, batch_first=True), nn.GRU(3, 4, batch_first=True)
    h = c = torch.zeros(4)
    w, u, b = lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0
    for step in x[0]:
        i, f, g, o = (w @ step + u @ h + b).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    torch.testing.assert_close(h, lstm(x)[0][0, -1])
    h = torch.zeros(4)
    for step in x[0]:
        from_input = (gru.weight_ih_l0 @ step + gru.bias_ih_l0).chunk(3)
        from_state = (gru.weight_hh_l0 @ h + gru.bias_hh_l0).chunk(3)
        r, z = (from_input[0] + from_state[0]).sigmoid(), (from_input[1] + from_state[1]).sigmoid()
        n = (from_input[2] + r * from_state[2]).tanh()
        h = (1 - z) * n + z * h
    torch.testing.assert_close(h, gru(x)[0][0, -1])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_recurrent_classifiers_give_a_logit_per_class(cell, bidirectional):
    arguments = {"features": 3, "classes": 5, "hidden_size": 6, "layers": 2, "pooling": "last", "dropout": 0.1}
    network = build_network({"name": "recurrent", "cell": cell, "bidirectional": bidirectional, **arguments})
    assert network(torch.randn(2, 9, 3)).shape == (2, 5)


@pytest.mark.parametrize("size", [8, 9, 16, 28, 32, 48])
@pytest.mark.parametrize("channels", [1, 3])
def test_image_networks_size_themselves(size, channels):
    arguments = {"channels": channels, "size": size}
    images = torch.randn(2, channels, size, size)
    sides = {}
    for stem in ("strided", "plain"):
        compact = build_network({**COMPACT, "stem": stem, **arguments})
        assert compact(images).shape == (2, 7)
        sides[stem] = compact.stem(images).shape[-1]
    assert sides == {"strided": size if size < 16 else (size - 3) // 2, "plain": size}
    if size != 9:
        text = {"vocabulary_size": 9, "words": 4, "text_width": 16, "text_layers": 1, "text_heads": 2}
        network = build_network({"name": "text-to-image", "width": 8, "dropout": 0.0, **text, **arguments})
        pictures = torch.randn(2, channels, size, size)
        captions = torch.tensor([[1, 2, 3, 0], [1, 0, 0, 0]])
        assert network(pictures, torch.rand(2), captions).shape == pictures.shape


@torch.no_grad()
def test_maps_normalised_in_one_group_lie_channels_last_which_changes_no_answer():
    network = build_network({**TEXT_TO_IMAGE, "size": 28, "matched_words": [3, 5], "norm_groups": 1}).eval()
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


def test_the_reference_network_is_the_textbooks():
    network = build_network({"name": "reference", "classes": 43, "dropout": 0.5, "activation": "relu"})
    layers = {layer.name: layer for layer in layer_table(network)}
    assert [(name, layer.output, layer.parameters) for name, layer in layers.items() if layer.parameters] == [
        ("convolution1", (32, 48, 48), 896),
        ("convolution2", (64, 48, 48), 18_496),
        ("convolution3", (128, 24, 24), 73_856),
        ("hidden", (512,), 128 * 12 * 12 * 512 + 512),
        ("classifier", (43,), 512 * 43 + 43),
    ]
    assert layers["pooling1"].output == (64, 24, 24) and layers["pooling2"].output == (128, 12, 12)


def test_the_reference_networks_layers_come_in_the_textbooks_order_with_its_shapes():
    network = build_network({"name": "reference", "classes": 43, "dropout": 0.5, "activation": "relu"})
    assert [(layer.kind, layer.output) for layer in layer_table(network)] == [
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
    layers = layer_table(build_network({**COMPACT, "activation": activation}))
    kinds = {layer.kind.lower() for layer in layers if layer.name.endswith("activation")}
    assert kinds == {activation.replace("_", "")}


@pytest.mark.parametrize(
    "description",
    [
        COMPACT,
        {"name": "reference", "classes": 7, "dropout": 0.1, "activation": "relu"},
        *({**RECURRENT, "cell": cell} for cell in ("lstm", "gru", "rnn", "mingru")),
        *({**LM, "position": position} for position in POSITIONS),
        {**DECODER, "ngrams": 40},
        *({**LM, "name": "encoder-decoder", "position": position} for position in POSITIONS),
        *({**RECURRENT_LM, "cell": cell} for cell in ("lstm", "gru")),
        TEXT_TO_IMAGE,
        {**TEXT_TO_IMAGE, "matched_words": [3, 5]},
    ],
    ids=lambda d: "-".join(str(d[key]) for key in ("name", "cell", "position", "ngrams", "matched_words") if key in d),
)
def test_the_layer_table_counts_every_parameter_once(description):
    network = build_network(description).train()
    layers = layer_table(network)
    assert sum(layer.parameters for layer in layers) == count_parameters(network)
    assert all(layer.output for layer in layers) and network.training


def test_the_forward_process_runs_from_picture_to_noise():
    clean, noise = torch.randn(2, 2, 1, 8, 8)
    torch.testing.assert_close(add_noise(clean, noise, torch.zeros(2)), clean)
    torch.testing.assert_close(add_noise(clean, noise, torch.ones(2)), noise)
    step = (add_noise(clean, noise, torch.full((2,), 0.6)) - add_noise(clean, noise, torch.full((2,), 0.5))) / 0.1
    torch.testing.assert_close(
        step, training_target(clean, noise, torch.zeros(2), "flow", "flow"), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_samplers_follow_a_straight_path_exactly(sampler):
    clean, noise = torch.randn(2, 3, 1, 8, 8)
    *_, last = denoising_steps(
        lambda x, t: training_target(clean, noise, torch.zeros(2), "flow", "flow"),
        noise,
        denoising_times(4, "flow"),
        sampler=sampler,
    )
    torch.testing.assert_close(last, clean, rtol=1e-4, atol=1e-5)


def test_heun_is_more_accurate_than_euler_on_a_curve():
    noise = torch.ones(1, 1, 1, 1)
    exact = torch.exp(torch.tensor(-1.0))  # dx/dt = x, from t = 1 to 0
    errors = {}
    for sampler in ("euler", "heun"):
        *_, last = denoising_steps(lambda x, t: x, noise, denoising_times(8, "flow"), sampler=sampler)
        errors[sampler] = (last - exact).abs().item()
    assert errors["heun"] < errors["euler"] / 5


@pytest.mark.parametrize("sampler", ["euler", "heun"])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_network_evaluations_are_counted_honestly(sampler, guidance):
    asked = 0

    def network(pictures, times, captions):
        nonlocal asked
        asked += len(pictures)
        return pictures

    captions, noise = torch.tensor([[1, 2]]), torch.randn(1, 1, 8, 8)
    list(denoising_steps(guided(network, captions, guidance), noise, denoising_times(5, "flow"), sampler=sampler))
    assert asked == network_evaluations(steps=5, sampler=sampler, guidance=guidance)


def test_guidance_goes_from_the_prediction_without_a_caption_towards_and_beyond_the_one_with_it():
    def network(pictures, times, captions):
        return pictures + times.view(-1, 1, 1, 1) * captions[:, 1].view(-1, 1, 1, 1)

    pictures, captions = torch.randn(2, 1, 4, 4), torch.tensor([[1, 2, 3], [1, 5, 0]])
    found = guided(network, captions, 1.5)(pictures, torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(found, pictures + 1.5 * torch.tensor([1.0, 5.0]).view(-1, 1, 1, 1))


def test_a_picture_depends_on_every_word_of_its_caption_and_not_on_padding():
    torch.manual_seed(0)
    # In double precision: sums over other lengths are rounded otherwise.
    network = build_network({**TEXT_TO_IMAGE, "words": 5}).eval().double()
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


def test_temperature_multiplies_the_noise_that_drawing_begins_with():
    network = build_network(
        {"name": "text-to-image", "channels": 1, "size": 8, "vocabulary_size": 9, "words": 4, "width": 8}
        | {"text_width": 8, "text_layers": 1, "text_heads": 2, "dropout": 0.0}
    ).eval()
    captions, noise = torch.tensor([[1, 2, 0, 0]]), torch.randn(1, 1, 8, 8)
    how = {"steps": 3, "guidance": 1.5}
    *_, warm = drawing(network, captions, noise, temperature=1.3, **how)
    *_, same = drawing(network, captions, 1.3 * noise, temperature=1.0, **how)
    torch.testing.assert_close(warm, same)


def test_a_flows_steps_get_shorter_towards_the_picture():
    times = denoising_times(5, "flow")
    lengths = times[:-1] - times[1:]
    assert times[0] == 1 and times[-1] == 0 and (lengths.diff() < 0).all() and (lengths > 0).all()


@pytest.mark.parametrize("change", [{"width": 16}, {"name": "of-old"}, {"heads": 4}])
def test_a_model_of_other_code_says_how_to_train_it_anew(change):
    weights = build_network(COMPACT).state_dict()
    with pytest.raises(ValueError, match="the cnn model does not fit this version of the code; `dvc repro`"):
        rebuild_network({"family": "cnn", "network": {**COMPACT, **change}}, weights)
    rebuild_network({"family": "cnn", "network": COMPACT}, weights)
