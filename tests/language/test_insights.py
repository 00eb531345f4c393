"""What the language reports say: costs by place and kind add up, neighbours are nearest, attention sums to one."""

import collections
import math

import numpy as np
import pytest
import torch
from networks import build

from quartet.datasets.tokenizers import decoded_tokens, train_tokenizer
from quartet.language import baselines
from quartet.language.insights import attention_maps, cost_by_kind, cost_by_position, kind_of, neighbours

CORPUS = ("the cat sat on the mat; the dog sat on the log. " * 4).encode()
TEXTS = ["the", " cat", "S", "\n", "7.", "ß"]


def witten_bell(train, test, order):
    """Bits per byte by the formula, a byte at a time."""
    counts = collections.Counter()
    followers = collections.defaultdict(set)
    padded = b"\n" * (order - 1) + train
    for place in range(order - 1, len(padded)):
        for length in range(order):
            context = padded[place - length : place]
            counts[context, padded[place]] += 1
            followers[context].add(padded[place])

    def probability(context, byte):
        shorter = probability(context[1:], byte) if context else 1 / 256
        seen = sum(counts[context, other] for other in followers[context])
        distinct = len(followers[context])
        return (counts[context, byte] + distinct * shorter) / (seen + distinct) if seen else shorter

    padded = b"\n" * (order - 1) + test
    ends = range(order - 1, len(padded))
    return -sum(math.log2(probability(padded[end - order + 1 : end], padded[end])) for end in ends) / len(test)


@pytest.mark.parametrize("chunk", [7, 1000])
def test_the_n_gram_is_witten_bells(monkeypatch, chunk):
    monkeypatch.setattr(baselines, "CHUNK", chunk)
    test = b"the dog sat on the cat; zebras do not."
    for order in (1, 3, 5):
        expected = witten_bell(CORPUS, test, order)
        assert baselines.ngram_bits_per_byte(CORPUS, test, order) == pytest.approx(expected, rel=1e-9)


def test_the_cost_of_a_token_is_spread_over_its_characters():
    stream = np.array([0, 1, 1, 2, 3, 4, 5])
    nats = np.log(2) * np.array([3.0, 4.0, 8.0, 2.0, 1.0, 6.0, 5.0])
    table = cost_by_kind(nats, stream, TEXTS).set_index("kind")
    assert dict(table.characters) == {
        "lower case": 9,
        "upper case": 1,
        "digits": 1,
        "spaces": 2,
        "line breaks": 1,
        "punctuation": 1,
        "other letters": 1,
    }
    bits = table.bits_per_character
    assert bits["lower case"] == pytest.approx((3 + 3 + 6) / 9, abs=1e-6) and bits["spaces"] == pytest.approx(3 / 2)
    assert bits["digits"] == bits["punctuation"] == 3
    total = (table.characters * table.bits_per_character).sum()
    assert total == pytest.approx(29, abs=1e-4)
    assert kind_of("\u00a0") == "spaces"


def test_parts_of_characters_are_counted_apart():
    """Of an emoji in bytes, whose tokens each read U+FFFD."""
    tokenizer = train_tokenizer("byte", ["x"], 256)
    stream = np.array(tokenizer.encode("a🙂").ids)
    table = cost_by_kind(np.log(2) * np.ones(5), stream, decoded_tokens(tokenizer)).set_index("kind")
    assert dict(table.characters) == {"lower case": 1, "parts of characters": 4}
    assert (table.bits_per_character == 1).all()


def test_the_cost_by_place_is_a_mean_over_windows():
    nats = np.log(2) * np.array([8.0, 4.0, 2.0, 2.0, 1.0] * 3 + [4.0])
    table = cost_by_position(nats, 5, bytes_per_token=2.0)
    assert list(zip(table["from"], table["to"], strict=True)) == [(1, 1), (2, 3), (4, 5)]
    assert list(table.bits_per_byte) == pytest.approx([3.5, 1.5, 0.75])


def test_neighbours_point_the_same_way():
    texts = [" house", " home", " table", "x", " unseen"]
    embedding = torch.tensor([[1.0, 0.1], [2.0, 0.3], [-1.0, 1.0], [0.0, 1.0], [1.0, 0.1]])
    table = neighbours(embedding, np.array([0, 0, 1, 2, 3]), texts, words=2, nearest=1)
    assert table.token.tolist() == ["house", "table"]  # the most frequent words of five letters and more
    assert table.neighbours.tolist() == ["home 1.00", "x 0.71"]  # what the text lacks is nobody's neighbour


@pytest.mark.parametrize("name", ["decoder", "encoder-decoder"])
def test_attention_maps_have_rows_that_sum_to_one(name):
    sizes = {"vocabulary_size": 40, "context": 16, "width": 32, "layers": 2, "dropout": 0.0}
    network = build({"name": name, **sizes, "heads": 4, "position": "rotary"})
    maps = attention_maps(network, torch.randint(40, (1, 7)))
    assert maps.shape == (2, 4, 7, 7)
    np.testing.assert_allclose(maps.sum(axis=3), 1, rtol=1e-5)
    assert (np.triu(maps[0, 0], 1) == 0).all() == (name == "decoder")
    recurrent = build({"name": "recurrent-language-model", **sizes, "cell": "gru"})
    assert attention_maps(recurrent, torch.zeros(1, 3, dtype=torch.long)) is None
