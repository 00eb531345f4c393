"""Text to token streams: split honestly, encoded without loss, in bounded memory."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import write_json
from quartet.datasets.reading import text_files
from quartet.datasets.splits import SPLITS
from quartet.datasets.tokenizers import load_tokenizer
from quartet.language import preparation
from quartet.language.preparation import lines_of, prepare_text
from quartet.language.preparation.splitting import split_documents, split_passages
from quartet.language.settings import PreprocessText
from quartet.language.sources import download_text
from quartet.language.sources.documents import index_documents
from quartet.language.windows import token_stream


def texts_of(splits):
    return {name: "".join(splits.text(name)) for name in SPLITS}


def test_running_text_holds_out_its_end(tmp_path):
    text = "".join(chr(97 + i % 26) for i in range(1990)) + "ß" * 10
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())
    with mock.patch.object(text_files, "CHUNK", 7):
        parts = texts_of(split_documents("file", path, index_documents("file", path), PreprocessText()))
    assert parts["train"] + parts["validation"] + parts["test"] == text
    assert len(parts["test"]) == 200 and len(parts["validation"]) == 90


def test_passages_stay_whole_and_on_one_side(tmp_path):
    passages = [f"passage {i}\nmore" for i in range(100)]
    (tmp_path / "text.txt").write_bytes("\n\n".join(passages).encode() + b"\n")
    parts = texts_of(split_passages(tmp_path / "text.txt", PreprocessText()))
    found = {name: set(text.strip().split("\n\n")) for name, text in parts.items()}
    assert found["train"] | found["validation"] | found["test"] == set(passages)
    assert sum(map(len, found.values())) == 100 and len(found["test"]) == 10
    with pytest.raises(BadInput, match=r"`splits: own` takes a source with its own"):
        split_passages(tmp_path / "text.txt", PreprocessText(splits="own"))


def own_text(tmp_path, text):
    (tmp_path / "own.txt").write_bytes(text)
    raw = tmp_path / "raw"
    manifest = download_text(f"file:{tmp_path / 'own.txt'}", Fetching(), raw)
    write_json(raw / "manifest.json", manifest)
    return raw


def test_languages_of_a_text_without_pairs_are_refused(tmp_path):
    raw = tmp_path / "raw"
    write_json(raw / "manifest.json", download_text("docstrings", Fetching(), raw))
    with pytest.raises(BadInput, match=r"docstrings: preprocess\.text\.languages chooses the sides of pairs"):
        prepare_text(raw, tmp_path / "out", PreprocessText(languages="de-en"))


def test_the_tokenizer_sees_the_training_text_alone(tmp_path):
    raw = own_text(tmp_path, ("abc \n" * 500 + "日" * 300).encode())
    prepare_text(raw, tmp_path / "out", PreprocessText(tokenizer="character"))
    text = (tmp_path / "out/test.txt").read_text()
    assert "日" in text
    assert len(token_stream(tmp_path / "out", "test")) == len(text.encode())  # unknown characters cost three bytes


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"abc\xff", "byte 3 .0xff. is not UTF-8"), (b" \n", "holds no text"), (b"a\0b", "byte 1 is NUL")],
)
def test_unreadable_text_says_where(tmp_path, content, words):
    with pytest.raises(BadInput, match=words):
        own_text(tmp_path, content)
    assert not (tmp_path / "raw/text.txt").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"some words in a line\n" * 600 + b"\n" * 3000, "its validation split has no text"),
        (b"hello world\n", "its train split has 10 characters; at least 100"),
    ],
)
def test_a_split_with_too_little_text_is_named_by_its_source(tmp_path, text, words):
    raw = own_text(tmp_path, text)
    with pytest.raises(BadInput, match=rf"file:.*own\.txt: {words}"):
        prepare_text(raw, tmp_path / "out", PreprocessText())


@settings(deadline=None)
@given(text=st.text(alphabet="ab \n", max_size=60), piece=st.integers(1, 9), longest=st.integers(2, 9))
def test_long_lines_come_in_parts_that_do_not_depend_on_the_pieces_read(tmp_path_factory, text, piece, longest):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(text.encode())
    with mock.patch.object(preparation, "LONGEST", longest):
        whole = list(lines_of(path))
        with mock.patch.object(preparation, "CHUNK", piece):
            assert list(lines_of(path)) == whole
    assert "".join(whole) == text
    assert all(len(line) <= longest + 1 and "\n" not in line[:-1] for line in whole)


def test_a_text_without_line_ends_gives_the_tokens_of_its_words(tmp_path):
    raw = own_text(tmp_path, b"the quick brown fox jumps over the lazy dog " * 300)
    with mock.patch.object(preparation, "LONGEST", 100):
        prepare_text(raw, tmp_path / "out", PreprocessText(vocabulary_size=300))
    tokenizer = load_tokenizer(tmp_path / "out/tokenizer.json")
    whole = tokenizer.encode((tmp_path / "out/train.txt").read_text()).ids
    np.testing.assert_array_equal(token_stream(tmp_path / "out", "train"), whole)
