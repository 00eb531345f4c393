"""The layer table of every network, and how a model of other code is refused."""

import pytest
from networks import NETWORKS, TEXT_TO_IMAGE, build

from quartet.artifacts.rebuilding import count_parameters, rebuild_network
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
    network = build(description).train()
    layers = layers_of(network)
    assert sum(layer.parameters for layer in layers) == count_parameters(network)
    assert all(layer.output for layer in layers) and network.training


@pytest.mark.parametrize("change", [{"width": 16}, {"name": "of-old"}, {"heads": 4}])
def test_a_model_of_other_code_says_how_to_train_it_anew(change):
    weights = build(COMPACT).state_dict()
    with pytest.raises(ValueError, match="the cnn model does not fit this version of the code; `dvc repro`"):
        rebuild_network(NETWORKS, {"family": "cnn", "network": {**COMPACT, **change}}, weights)
    rebuild_network(NETWORKS, {"family": "cnn", "network": COMPACT}, weights)
