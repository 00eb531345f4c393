"""Text: lossless tokenizers, honest splits, prose from docstrings."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.artifacts.writing import write_json
from quartet.datasets import text_sources
from quartet.datasets.docstring_prose import prose_paragraphs
from quartet.datasets.text import lines_of, preprocess_text, split_text, token_stream
from quartet.datasets.text_sources import download_text
from quartet.datasets.text_windows import TrainingWindows, scored_windows
from quartet.datasets.tokenizers import LONGEST_PIECE, decoded_tokens, encoded_lines, train_tokenizer
from quartet.params.sections import Download, PreprocessText

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


@settings(deadline=None)
@given(text=st.text(min_size=1), piece=st.integers(1, 9))
def test_a_text_read_in_pieces_is_the_text(tmp_path_factory, text, piece):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(text.encode())
    with mock.patch.object(text_sources, "_CHUNK", piece):
        assert "".join(text_sources.text_chunks(path)) == text
    assert "".join(lines_of(path)) == text
    assert all(line.endswith("\n") for line in list(lines_of(path))[:-1])


@settings(deadline=None)
@given(before=st.text(max_size=9), piece=st.integers(1, 9), after=st.sampled_from([b"", b"a", "é".encode()]))
def test_the_byte_that_is_not_utf8_is_named_wherever_pieces_end(tmp_path_factory, before, piece, after):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(before.encode() + "日".encode()[:2] + after)
    words = f"byte {len(before.encode())} .0xe6. is not UTF-8"
    with mock.patch.object(text_sources, "_CHUNK", piece), pytest.raises(ValueError, match=words):
        list(text_sources.text_chunks(path))


def test_vocabularies_are_what_their_names_say():
    assert TOKENIZERS["byte"].get_vocab_size() == 256
    assert len(tokens_of("byte", "日本")) == 6
    assert len(tokens_of("character", "日本 größer")) == 9
    assert len(tokens_of("bpe", "the cat sat on the mat")) < 22


def test_bpe_training_is_deterministic():
    assert TOKENIZERS["bpe"].to_str() == train_tokenizer("bpe", TRAINING, 300).to_str()


def test_bpe_learns_of_unbroken_text_piece_by_piece():
    """Were the text merged as a whole, its first merges would join what two pieces hold between them."""
    piece = "a" * LONGEST_PIECE
    tokenizer = train_tokenizer("bpe", [3 * piece], 2048)
    assert max(map(len, decoded_tokens(tokenizer))) == LONGEST_PIECE
    assert tokenizer.decode(tokenizer.encode(3 * piece).ids) == 3 * piece


def splits_of(tmp_path, text, how):
    (tmp_path / "text.txt").write_bytes(text.encode())
    split_text(tmp_path / "text.txt", how, 0, tmp_path)
    return {name: (tmp_path / f"{name}.txt").read_bytes().decode() for name in ("train", "validation", "test")}


def test_running_text_holds_out_its_end(tmp_path):
    text = "".join(chr(97 + i % 26) for i in range(1990)) + "ß" * 10
    with mock.patch.object(text_sources, "_CHUNK", 7):
        parts = splits_of(tmp_path, text, "tail")
    assert parts["train"] + parts["validation"] + parts["test"] == text
    assert len(parts["test"]) == 200 and len(parts["validation"]) == 90


def test_passages_stay_whole_and_on_one_side(tmp_path):
    passages = [f"passage {i}\nmore" for i in range(100)]
    parts = splits_of(tmp_path, "\n\n".join(passages) + "\n", "passages")
    found = {name: set(text.strip().split("\n\n")) for name, text in parts.items()}
    assert found["train"] | found["validation"] | found["test"] == set(passages)
    assert sum(map(len, found.values())) == 100 and len(found["test"]) == 10


def own_text(tmp_path, text):
    (tmp_path / "own.txt").write_bytes(text)
    raw = tmp_path / "raw"
    manifest = download_text(Download(text=f"file:{tmp_path / 'own.txt'}"), raw)
    write_json(raw / "manifest.json", manifest)
    return raw


def test_the_tokenizer_sees_the_training_text_alone(tmp_path):
    raw = own_text(tmp_path, ("abc \n" * 500 + "日" * 300).encode())
    preprocess_text(raw, tmp_path / "out", PreprocessText(tokenizer="character"))
    text = (tmp_path / "out/test.txt").read_text()
    assert "日" in text
    assert len(token_stream(tmp_path / "out", "test")) == len(text.encode())  # unknown characters cost three bytes


@pytest.mark.parametrize(("content", "words"), [(b"abc\xff", "byte 3 .0xff. is not UTF-8"), (b" \n", "holds no text")])
def test_unreadable_text_says_where(tmp_path, content, words):
    with pytest.raises(ValueError, match=words):
        own_text(tmp_path, content)


def test_a_split_without_text_is_named_by_its_source(tmp_path):
    raw = own_text(tmp_path, b"some words in a line\n" * 600 + b"\n" * 3000)
    with pytest.raises(ValueError, match=r"raw/text\.txt: its validation split holds white space alone"):
        preprocess_text(raw, tmp_path / "out", PreprocessText())


def test_prose_is_kept_and_all_else_dropped():
    docstring = """Fit the model to the training data.

    Longer explanation that runs over
    two lines of text.

    Parameters
    ----------
    X : array of shape (n, m)
        The training input samples to learn from.

    ===== =====
    a     b
    ===== =====

    Use it like this for example::

        model.fit(X) and never keep this line of code.

    .. versionadded:: 0.1
       Nor this text of a directive.

    >>> model.fit(X)
    """
    assert list(prose_paragraphs(docstring)) == [
        "Fit the model to the training data.",
        "Longer explanation that runs over two lines of text.",
        "The training input samples to learn from.",
    ]


@settings(deadline=None, max_examples=50)
@given(count=st.integers(1, 60), context=st.integers(2, 12), share=st.floats(0.1, 1), batch_size=st.integers(1, 4))
def test_every_token_is_scored_exactly_once(count, context, share, batch_size):
    stream = np.arange(1, count + 1, dtype=np.uint16)
    stride = max(1, math.ceil(context * share))
    scored = []
    for tokens, successors, mask in scored_windows(stream, 0, context, stride, batch_size, torch.device("cpu")):
        assert torch.equal(tokens[mask] + 1, successors[mask])
        scored += successors[mask].tolist()
    assert scored == stream.tolist()


def test_an_epoch_of_training_windows_covers_the_text_without_overlap_and_epochs_have_borders_of_their_own():
    windows = TrainingWindows(np.arange(50, dtype=np.uint16), 8, 0, torch.device("cpu"))
    starts = set()
    for epoch in range(200):
        tokens, successors = windows.batch(torch.arange(windows.count), epoch)
        assert torch.equal(tokens + 1, successors) and len(tokens.unique()) == windows.count * 8
        starts.add(tokens[0, 0].item())
    assert starts == set(range(10))  # 49 tokens have successors, five windows of 8 leave 9 to move by
    assert torch.equal(windows.batch(torch.tensor([2]), 7)[0], windows.batch(torch.arange(4), 7)[0][2:3])
