"""Tokenizers are lossless on any text, and what their names say."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.datasets import tokenizers
from quartet.datasets.tokenizers import MAX_PIECE, decoded_tokens, encoded_lines, train_tokenizer, training_sample

TRAINING = ["the cat sat on the mat\n", "größer, 日本 and more of the same\n"] * 5


TOKENIZERS = {kind: train_tokenizer(kind, TRAINING, 300) for kind in ("bpe", "character", "byte")}


def tokens_of(kind, text):
    encoded = encoded_lines(TOKENIZERS[kind], text.splitlines(keepends=True), np.uint16, at_once=2)
    return [token for tokens in encoded for token in tokens.tolist()]


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(deadline=None)
@given(text=st.text())
def test_decoding_gives_the_text_back(kind, text):
    assert TOKENIZERS[kind].decode(tokens_of(kind, text)) == text


def test_vocabularies_are_what_their_names_say():
    assert TOKENIZERS["byte"].get_vocab_size() == 256
    assert len(tokens_of("byte", "日本")) == 6
    assert len(tokens_of("character", "日本 größer")) == 9
    assert len(tokens_of("bpe", "the cat sat on the mat")) < 22


def test_bpe_training_is_deterministic():
    assert TOKENIZERS["bpe"].to_str() == train_tokenizer("bpe", TRAINING, 300).to_str()


def test_bpe_learns_of_unbroken_text_piece_by_piece():
    """Were the text merged as a whole, its first merges would join what two pieces hold between them."""
    piece = "a" * MAX_PIECE
    tokenizer = train_tokenizer("bpe", [3 * piece], 2048)
    assert max(map(len, decoded_tokens(tokenizer))) == MAX_PIECE
    assert tokenizer.decode(tokenizer.encode(3 * piece).ids) == 3 * piece


def test_the_sample_of_a_large_text_is_even():
    lines = [f"{number:04} word\n" for number in range(2000)]
    assert training_sample(lines, 20000) == lines
    with mock.patch.object(tokenizers, "SAMPLE", 2000):
        assert training_sample(lines, 20000) == lines[::10]


def test_the_sample_has_so_many_distinct_words_as_fit_in_memory():
    repeated, distinct = ["the same words\n"] * 1000, [f"{number:04}\n" for number in range(1000)]
    with mock.patch.object(tokenizers, "DISTINCT", 1000):
        assert training_sample(repeated, 15000) == repeated
        assert training_sample(distinct, 5000) == distinct[::4]
