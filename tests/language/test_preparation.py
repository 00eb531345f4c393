"""Text from a file to token streams: read in pieces, split honestly."""

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import write_json
from quartet.language import reading
from quartet.language.preparation import lines_of, prepare_text, split_text
from quartet.language.settings import PreprocessText
from quartet.language.sources import download_text
from quartet.language.windows import token_stream


@settings(deadline=None)
@given(text=st.text(min_size=1), piece=st.integers(1, 9))
def test_a_text_read_in_pieces_is_the_text(tmp_path_factory, text, piece):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(text.encode())
    with mock.patch.object(reading, "_CHUNK", piece):
        assert "".join(reading.text_chunks(path)) == text
    assert "".join(lines_of(path)) == text
    assert all(line.endswith("\n") for line in list(lines_of(path))[:-1])


@settings(deadline=None)
@given(before=st.text(max_size=9), piece=st.integers(1, 9), after=st.sampled_from([b"", b"a", "é".encode()]))
def test_the_byte_that_is_not_utf8_is_named_wherever_pieces_end(tmp_path_factory, before, piece, after):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(before.encode() + "日".encode()[:2] + after)
    words = f"byte {len(before.encode())} .0xe6. is not UTF-8"
    with mock.patch.object(reading, "_CHUNK", piece), pytest.raises(ValueError, match=words):
        list(reading.text_chunks(path))


def splits_of(tmp_path, text, how):
    (tmp_path / "text.txt").write_bytes(text.encode())
    split_text(tmp_path / "text.txt", how, 0, tmp_path)
    return {name: (tmp_path / f"{name}.txt").read_bytes().decode() for name in ("train", "validation", "test")}


def test_running_text_holds_out_its_end(tmp_path):
    text = "".join(chr(97 + i % 26) for i in range(1990)) + "ß" * 10
    with mock.patch.object(reading, "_CHUNK", 7):
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
    manifest = download_text(f"file:{tmp_path / 'own.txt'}", Fetching(), raw)
    write_json(raw / "manifest.json", manifest)
    return raw


def test_the_tokenizer_sees_the_training_text_alone(tmp_path):
    raw = own_text(tmp_path, ("abc \n" * 500 + "日" * 300).encode())
    prepare_text(raw, tmp_path / "out", PreprocessText(tokenizer="character"))
    text = (tmp_path / "out/test.txt").read_text()
    assert "日" in text
    assert len(token_stream(tmp_path / "out", "test")) == len(text.encode())  # unknown characters cost three bytes


@pytest.mark.parametrize(("content", "words"), [(b"abc\xff", "byte 3 .0xff. is not UTF-8"), (b" \n", "holds no text")])
def test_unreadable_text_says_where(tmp_path, content, words):
    with pytest.raises(ValueError, match=words):
        own_text(tmp_path, content)


def test_a_split_without_text_is_named_by_its_source(tmp_path):
    raw = own_text(tmp_path, b"some words in a line\n" * 600 + b"\n" * 3000)
    with pytest.raises(ValueError, match=r"raw/text\.txt: its validation split holds only white space"):
        prepare_text(raw, tmp_path / "out", PreprocessText())
