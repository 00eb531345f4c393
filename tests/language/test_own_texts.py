"""A user's own texts: files, folders and JSON lines, with splits of their own or without."""

import gzip
import json
import random

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import write_json
from quartet.datasets.splits import SPLITS
from quartet.language.inspection import inspect_texts
from quartet.language.preparation import prepare_text
from quartet.language.settings import PreprocessText
from quartet.language.sources import download_text

BYTES = PreprocessText(tokenizer="byte")


def prose(name, words=60):
    """A document that names itself."""
    return " ".join(f"{name}-{number}" for number in range(words)) + "\n"


def prepared(folder, source, settings=BYTES):
    """Download and prepare a source; returns what is in `info.json`, the files by name, and the text of each split."""
    raw, processed = folder / "raw", folder / "processed"
    write_json(raw / "manifest.json", download_text(source, Fetching(), raw))
    info = prepare_text(raw, processed, settings)
    files = {path.name: path.read_bytes() for path in processed.iterdir() if path.name != "info.json"}
    return info, files, {name: files[f"{name}.txt"].decode() for name in SPLITS}


def text_folder(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return f"folder:{folder}"


def json_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"jsonl:{path}"


def documents_in(text):
    """The names of the documents in a text."""
    return {word.rpartition("-")[0] for word in text.split()}


@pytest.mark.parametrize("form", ["plain", "marked", "gz", "zst", "utf-16"])
def test_a_file_is_the_same_data_however_it_is_stored(tmp_path, form):
    text = prose("naïve “日本”", 300) + "no end"
    name, content = {
        "plain": ("a.txt", text.encode()),
        "marked": ("a.txt", b"\xef\xbb\xbf" + text.encode()),
        "gz": ("a.txt.gz", gzip.compress(text.encode())),
        "zst": ("a.txt.zst", pyarrow.Codec("zstd").compress(text.encode(), asbytes=True)),
        "utf-16": ("a.txt", text.encode("utf-16")),
    }[form]
    text_folder(tmp_path, {name: content})
    info, files, parts = prepared(tmp_path, f"file:{tmp_path / name}")
    assert (tmp_path / "raw/text.txt").read_bytes() == text.encode()
    assert parts["train"] + parts["validation"] + parts["test"] == text
    assert b"".join(files[f"{name}.txt"] for name in SPLITS) == text.encode()
    assert info["splits"]["origin"] == "test is the last 10 % of the text, validation the last 5 % of the rest"


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("Training.md", "dev.txt.gz", "TESTING.txt"),
        ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
        ("train/a.txt", "val/b.md", "test/deep/c.txt"),
    ],
)
@pytest.mark.parametrize("how", ["auto", "own"])
def test_own_splits_of_a_folder_are_kept(tmp_path, names, how):
    contents = [prose(name).encode() for name in ("train", "validation", "test")]
    packed = [gzip.compress(text) if ".gz" in name else text for name, text in zip(names, contents, strict=True)]
    source = text_folder(tmp_path / "own", {**dict(zip(names, packed, strict=True)), "README.md": "what it is"})
    settings = PreprocessText(tokenizer="byte", splits=how)
    info, files, parts = prepared(tmp_path, source, settings)
    assert [files[f"{name}.txt"] for name in SPLITS] == contents
    assert info["splits"]["drawn"] == [] and info["splits"]["origin"].endswith("as the source says")
    found = inspect_texts(source, settings)
    assert found.left_out == {"beside the splits, in none of them": ["README.md"]}
    assert found.splits == info["splits"] and found.counts["characters"] == {n: len(t) for n, t in parts.items()}


def test_random_pools_own_splits(tmp_path):
    names = [f"{split}/{number}.txt" for split in ("train", "test") for number in range(20)]
    source = text_folder(tmp_path / "own", {name: prose(name) for name in names})
    info, _, parts = prepared(tmp_path, source, PreprocessText(tokenizer="byte", splits="random"))
    found = {split: documents_in(text) for split, text in parts.items()}
    assert sorted(name for part in found.values() for name in part) == sorted(names)
    assert len(found["test"]) == 4 and len(found["validation"]) == 2
    assert info["splits"]["drawn"] == ["test", "validation"]


def test_missing_validation_is_drawn_from_train(tmp_path, capsys):
    names = [f"{split}/{number}.txt" for split in ("train", "test") for number in range(20)]
    source = text_folder(tmp_path / "own", {name: prose(name) for name in names})
    info, _, parts = prepared(tmp_path, source)
    found = {split: documents_in(text) for split, text in parts.items()}
    assert found["test"] == {name for name in names if name.startswith("test")}
    assert len(found["validation"]) == 1 and len(found["train"]) == 19
    said = "19 train, 1 validation, 20 test: train and test as the source says, validation drawn from train"
    assert info["splits"]["origin"] == said and f"{source}: {said}" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["test", "validation"])
def test_a_split_is_cut_from_the_end_of_a_single_training_text(tmp_path, missing):
    names = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
    contents = {file: prose(split, 400) for split, file in names.items() if split != missing}
    info, _, parts = prepared(tmp_path, text_folder(tmp_path / "own", contents))
    assert parts["train"] + parts[missing] == contents["train.txt"]
    share = {"test": 0.1, "validation": 0.05}[missing]
    assert len(parts[missing]) == round(len(contents["train.txt"]) * share)
    assert info["splits"]["drawn"] == [missing]
    assert f"{missing} is the last {share * 100:.0f} % of train" in info["splits"]["origin"]


def test_documents_of_a_folder_stay_whole(tmp_path):
    names = [f"{letter}/{number}.{ending}" for letter in "ab" for number in range(9) for ending in ("txt", "md")]
    source = text_folder(tmp_path / "own", {name: prose(name) for name in names})
    _, _, parts = prepared(tmp_path, source)
    found = {split: documents_in(text) for split, text in parts.items()}
    assert sorted(name for part in found.values() for name in part) == sorted(names)
    for split, text in parts.items():
        assert text == "\n".join(prose(name) for name in sorted(found[split]))


def test_the_same_documents_are_the_same_data_as_folder_and_as_json_lines(tmp_path):
    names = [f"{number:02}" for number in range(30)]
    folder = text_folder(tmp_path / "own", {f"{name}.txt": prose(name) for name in names})
    rows = json_lines(tmp_path / "own.jsonl", [{"text": prose(name), "more": 1} for name in names])
    first, one, _ = prepared(tmp_path / "1", folder)
    second, other, _ = prepared(tmp_path / "2", rows)
    assert one == other
    assert {**first, "source": ""} == {**second, "source": ""}


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(12)), seed=st.integers(0, 9))
def test_rows_in_any_order_give_the_same_documents_in_each_split(tmp_path_factory, order, seed):
    folder = tmp_path_factory.mktemp("own")
    rows = [{"text": prose(str(number))} for number in range(12)]
    settings = PreprocessText(tokenizer="byte", split_seed=seed)
    found = []
    for number, chosen in enumerate((range(12), order)):
        source = json_lines(folder / f"{number}.jsonl", [rows[index] for index in chosen])
        _, _, parts = prepared(folder / str(number), source, settings)
        found.append({split: documents_in(text) for split, text in parts.items()})
        for text in parts.values():  # which keeps the order of the rows
            places = [list(chosen).index(int(paragraph.partition("-")[0])) for paragraph in text.split("\n\n")]
            assert places == sorted(places)
    assert found[0] == found[1]


def test_rows_say_their_split(tmp_path):
    split_of = {"a": "train", "b": "Validation", "c": "test", "d": None, "e": ""}
    rows = [{"text": prose(name), "split": split} for name, split in split_of.items()]
    info, _, parts = prepared(tmp_path, json_lines(tmp_path / "own.jsonl", rows))
    assert [documents_in(parts[split]) for split in SPLITS] == [{"a", "d", "e"}, {"b"}, {"c"}]
    assert info["splits"]["classes"] == {"train": [3], "validation": [1], "test": [1]}


def test_copies_share_a_split_or_are_named(tmp_path):
    rows = [{"text": prose(str(number % 10))} for number in range(20)]
    random.Random(0).shuffle(rows)
    info, _, parts = prepared(tmp_path / "1", json_lines(tmp_path / "own.jsonl", rows))
    found = [documents_in(text) for text in parts.values()]
    assert sum(map(len, found)) == 10 and info["splits"]["copies"] == 10
    own = [{"text": prose(str(number)), "split": split} for split in ("train", "test") for number in range(3)]
    info, _, _ = prepared(tmp_path / "2", json_lines(tmp_path / "own.jsonl", own))
    assert len(info["splits"]["copies_in_two_splits"]) == 3
    assert any("row 1 (" in line and "row 4 (test)" in line for line in info["splits"]["warnings"])


def test_documents_without_text_are_left_out_and_named(tmp_path, capsys):
    rows = [{"text": text} for text in (prose("a"), "", prose("b"), " \n", None, prose("c"))]
    info, _, parts = prepared(tmp_path, json_lines(tmp_path / "own.jsonl", rows))
    assert "ignored (holds no text): row 2, row 4, row 5" in capsys.readouterr().out
    assert set.union(*map(documents_in, parts.values())) == {"a", "b", "c"}
    assert sum(count for (count,) in info["splits"]["classes"].values()) == 3


def test_a_name_like_a_split_among_others_is_a_document_and_said(tmp_path):
    source = text_folder(tmp_path / "own", {f"{name}.txt": prose(name) for name in ("chess", "go", "test", "bridge")})
    found = inspect_texts(source, BYTES)
    assert sum(found.counts["documents"].values()) == 4
    assert found.notes == [
        "test.txt: documents like the others, not splits; own splits are train and at least one other"
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"txt": "a"}', "row 2: has no field text; its fields are txt"),
        ('{"text": ["a"]}', "row 2: text is list, not text"),
        ('{"text": "a", "split": "holdout"}', "row 2: split 'holdout' is none of train, validation, test"),
        ('{"text": "a", "text": "b"}', "row 2: two values have one name"),
        ('{"text": "a\\u0000"}', "row 2: character 2 of its text is NUL"),
        ('{"text": "\\ud83d"}', "row 2: holds half of a character"),
        ('{"text": "a"', "row 2: is not JSON"),
        ('"a"', "row 2: is not a JSON object"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, row, words):
    (tmp_path / "own.jsonl").write_text(json.dumps({"text": prose("a")}) + f"\n{row}\n")
    with pytest.raises(BadInput, match=words):
        download_text(f"jsonl:{tmp_path / 'own.jsonl'}", Fetching(), tmp_path / "raw")
    assert not list((tmp_path / "raw").iterdir())


def test_all_files_that_cannot_be_read_are_named_at_once(tmp_path):
    files = {
        f"{number:02}.txt": ("é " + "Le café où l'été commence, près de la forêt. " * 9).encode("latin-1")
        for number in range(12)
    }
    source = text_folder(tmp_path / "own", {**files, "good.txt": prose("good")})
    with pytest.raises(BadInput) as caught:
        download_text(source, Fetching(), tmp_path / "raw")
    lines = str(caught.value).splitlines()
    assert len(lines) == 10 and all(f"{number:02}.txt: byte 0 " in line for number, line in enumerate(lines))
    assert lines[-1].endswith("and 2 more") and "iconv -f WINDOWS-1252" in lines[0]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.pdf": "x", "b.docx": "y"}, r"has no text file; files that are read end in .*its files are a.pdf, b.docx"),
        ({"a.txt": "", "b.md": " \n"}, "holds no text"),
        (
            {"test.txt": prose("a"), "valid.txt": prose("b")},
            "there is nothing to train on: all examples are in test or",
        ),
        ({"wikitext/train.txt": prose("a"), "wikitext/test.txt": prose("b")}, r"give folder:.*own/wikitext"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(tmp_path, files, words):
    with pytest.raises(BadInput, match=words):
        prepared(tmp_path, text_folder(tmp_path / "own", files))


def test_a_file_whose_name_is_not_utf8_is_named(tmp_path):
    try:
        source = text_folder(tmp_path / "own", {"caf\udce9.txt": prose("a"), "b.txt": prose("b")})
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(BadInput, match=r"not valid UTF-8; rename 'caf\\udce9\.txt'"):
        download_text(source, Fetching(), tmp_path / "raw")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("folder:{}/none", "no such folder"),
        ("folder:{}/a.txt", "is a file; give file:PATH"),
        ("file:{}/none.txt", "no such file"),
        ("file:{}", "is a folder"),
        ("jsonl:{}/none", "no such file"),
    ],
)
def test_a_source_that_is_not_there_is_named(tmp_path, source, words):
    (tmp_path / "a.txt").write_text(prose("a"))
    with pytest.raises(BadInput, match=words):
        download_text(source.format(tmp_path), Fetching(), tmp_path / "raw")


@pytest.mark.parametrize("names", [("a.txt", "b.txt"), ("train.txt", "valid.txt")])
def test_own_insists_on_splits(tmp_path, names):
    source = text_folder(tmp_path / "own", {name: prose(name) for name in names})
    with pytest.raises(BadInput, match="`splits: own` takes a source with its own train and test"):
        inspect_texts(source, PreprocessText(splits="own"))


def test_a_look_writes_nothing_and_takes_own_sources_alone(tmp_path):
    source = text_folder(tmp_path / "own", {f"{number}.txt": prose(str(number)) for number in range(9)})
    before = sorted(tmp_path.rglob("*"))
    found = inspect_texts(source, BYTES)
    assert sorted(tmp_path.rglob("*")) == before
    assert found.counts["documents"] == {"train": 7, "validation": 1, "test": 1}
    with pytest.raises(BadInput, match="is no text of your own"):
        inspect_texts("docstrings", BYTES)
