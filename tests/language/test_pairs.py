"""A user's pairs of sources and targets: in every form, with splits of their own or without."""

import gzip
import json

import pandas as pd
import pytest

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import write_json
from quartet.datasets.splits import SPLITS
from quartet.language.inspection import inspect_texts
from quartet.language.preparation import prepare_text
from quartet.language.settings import PreprocessText
from quartet.language.sources import download_text

PAIRS = [(f"a dog sees {number} cats", f"ein Hund sieht {number} Katzen") for number in range(40)]
SPLIT_OF = ["train"] * 30 + ["val"] * 4 + ["test"] * 6
SETTINGS = PreprocessText(tokenizer="byte")


def prepared(folder, path, settings=SETTINGS):
    """Download and prepare `pairs:PATH`; returns `info.json`, and the pairs of each split."""
    raw, processed = folder / "raw", folder / "processed"
    write_json(raw / "manifest.json", download_text(f"pairs:{path}", Fetching(), raw))
    info = prepare_text(raw, processed, settings)
    read = {
        name: [(processed / f"{name}.{side}.txt").read_text().splitlines() for side in ("source", "target")]
        for name in SPLITS
    }
    return info, {name: list(zip(*sides, strict=True)) for name, sides in read.items()}


def written(folder, form, pairs=PAIRS, splits=SPLIT_OF):
    """The pairs in a form that people have."""
    folder.mkdir(exist_ok=True)
    rows = list(zip(pairs, splits, strict=True))
    if form.startswith("files"):
        for split in dict.fromkeys(splits):
            stem = {"test": "test_2016_flickr"}.get(split, split)
            for side, language in enumerate(("en", "de")):
                text = "".join(f"{pair[side]}\n" for pair, own in rows if own == split).encode()
                packed = form == "files.gz"
                path = folder / f"{stem}.{language}{'.gz' if packed else ''}"
                path.write_bytes(gzip.compress(text) if packed else text)
        (folder / "README.md").write_text("what it is")
        return folder
    path = folder / f"own.{form.split('-')[0]}"
    if form.startswith("jsonl"):
        nested = form == "jsonl-translation"
        records = [
            {"translation": {"en": a, "de": b}, "split": own} if nested else {"source": a, "target": b, "split": own}
            for (a, b), own in rows
        ]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        sign = {"csv": ",", "tsv": "\t"}[form]
        lines = [("source", "target", "split"), *((a, b, own) for (a, b), own in rows)]
        path.write_text("".join(sign.join(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("form", ["files", "files.gz", "csv", "tsv", "jsonl", "jsonl-translation"])
def test_pairs_are_the_same_data_in_every_form_and_keep_their_splits(tmp_path, form):
    path = written(tmp_path / "own", form)
    info, parts = prepared(tmp_path, path)
    assert parts == {"train": PAIRS[:30], "validation": PAIRS[30:34], "test": PAIRS[34:]}
    assert info["splits"]["origin"] == "30 train, 4 validation, 6 test: as the source says"
    named = "en" if "files" in form or "translation" in form else "source"
    assert info["languages"][0] == named and info["task"] == "translation"
    found = inspect_texts(f"pairs:{path}", SETTINGS)
    assert "train_lm.architecture: encoder-decoder" in found.notes[0]
    assert "train_lm.architecture: encoder-decoder" in found.notes[0]
    assert found.splits == info["splits"] and found.counts["pairs"] == {"train": 30, "validation": 4, "test": 6}


def test_pairs_without_splits_are_drawn_and_copies_stay_together(tmp_path):
    path = written(tmp_path / "own", "jsonl", PAIRS + PAIRS[:5], [""] * 45)
    info, parts = prepared(tmp_path, path)
    assert len(parts["test"]) in (4, 5) and len(parts["validation"]) in (2, 3)
    assert not set(parts["test"]) & set(parts["train"])
    assert any("doubled pairs: row 41 = row 1" in line for line in info["splits"]["warnings"])


def test_languages_turn_sides_round_or_choose_two_of_several(tmp_path):
    path = written(tmp_path / "own", "files")
    _, parts = prepared(tmp_path / "1", path, PreprocessText(tokenizer="byte", languages="de-en"))
    assert parts["test"] == [(german, english) for english, german in PAIRS[34:]]
    with pytest.raises(BadInput, match=r"languages: found 'fr-en', allowed are null, en-de and de-en"):
        prepared(tmp_path / "fr", path, PreprocessText(tokenizer="byte", languages="fr-en"))
    for stem, count in (("train", 30), ("val", 4), ("test_2016_flickr", 6)):
        (path / f"{stem}.fr").write_text("un chien\n" * count)
    with pytest.raises(BadInput, match=r"has en, de, fr; set preprocess\.text\.languages to two of them"):
        prepared(tmp_path / "2", path)
    _, parts = prepared(tmp_path / "3", path, PreprocessText(tokenizer="byte", languages="fr-en"))
    assert parts["test"][0] == ("un chien", PAIRS[34][0])
    with pytest.raises(BadInput, match=r"languages: found 'en-it', allowed are two of en, de, fr"):
        prepared(tmp_path / "4", path, PreprocessText(tokenizer="byte", languages="en-it"))


def test_empty_sides_are_left_out_and_pairs_in_two_splits_are_named(tmp_path, capsys):
    pairs = [
        *PAIRS[:28],
        ("nothing", ""),
        ("", "nichts"),
        *PAIRS[30:34],
        PAIRS[0],
        ("a dog sees 1 cats", "x"),
        *PAIRS[36:],
    ]
    path = written(tmp_path / "own", "csv", pairs)
    info, parts = prepared(tmp_path, path)
    said = capsys.readouterr().out
    assert "ignored 2 pairs (an empty side): row 30, row 31" in said and len(parts["train"]) == 28
    assert any("row 2 (train) = row 36 (test)" in line for line in info["splits"]["warnings"])
    assert "1 sources of test are also in train, with other targets: a dog sees 1 cats" in said


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_pairs_of_a_group_stay_together(tmp_path, form):
    rows = [{"source": f"a {n}", "target": f"b {n}", "group": f"document {n // 8}"} for n in range(80)]
    path = tmp_path / f"own.{form}"
    frame = pd.DataFrame(rows)
    path.write_text(frame.to_csv(index=False) if form == "csv" else frame.to_json(orient="records", lines=True))
    info, parts = prepared(tmp_path, path)
    documents = [{int(source.split()[1]) // 8 for source, _ in part} for part in parts.values()]
    assert info["splits"]["groups"] == 10 and sum(map(len, documents)) == len(set().union(*documents)) == 10


def test_files_that_are_not_read_are_named(tmp_path, capsys):
    folder = written(tmp_path / "own", "files")
    prepared(tmp_path, folder)
    assert "ignored (not a parallel file): README.md" in capsys.readouterr().out
    left_out = inspect_texts(f"pairs:{folder}", SETTINGS).left_out
    assert left_out["not a parallel file"] == ["README.md"]


def test_a_pair_has_no_line_ends_inside(tmp_path):
    rows = [{"source": f"a {number}\nb", "target": f" c\r\n{number} "} for number in range(20)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, parts = prepared(tmp_path, tmp_path / "own.jsonl")
    assert {pair for part in parts.values() for pair in part} == {(f"a {n} b", f"c {n}") for n in range(20)}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.en": "a\nb\n", "train.de": "c\n"}, "train.en has 2 lines, train.de has 1 lines; each line of one"),
        ({"train.en": "a\n"}, "has no parallel files, such as train.en and train.de"),
        ({"train.en": "a\n", "train.de": "b\n", "x.en": "a\n", "x.de": "b\n"}, "x is in none of the splits train"),
        (
            {f"test_{year}.{language}": "a\n" for year in (1, 2) for language in ("en", "de")},
            "test_1 and test_2 are both test; move one elsewhere",
        ),
        (
            {"train.en": "a\n", "train.de": "b\n", "test.en": "a\n", "test.DE": "b\n"},
            "test.en has no file in another language beside it; name that one like those of train, or move test.en",
        ),
        ({"own.csv": "a,b\n1,2\n"}, "has no columns source and target, nor two named by their languages"),
        ({"own.jsonl": '{"translation": "a"}\n'}, "row 1: translation is not an object such as"),
        ({"own.jsonl": '{"translation": {"en": "a", "de": "b"}}\n{"translation": {"en": "a"}}\n'}, "row 2: has no de"),
        ({"own.jsonl": '{"source": "a", "target": "b", "split": "tset"}\n'}, "row 1: split 'tset' is none of"),
        ({"own.txt": "a\n"}, "is no table that can be read"),
        ({"own.csv": "source,target\na,\n,b\n"}, "every pair has an empty side"),
    ],
)
def test_what_are_no_pairs_is_refused_in_a_line(tmp_path, files, message):
    folder = tmp_path / "own"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    path = folder if len(files) > 1 or "train.en" in files else folder / next(iter(files))
    with pytest.raises(BadInput) as caught:
        prepared(tmp_path, path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=r"no such file or folder"):
        prepared(tmp_path, tmp_path / "absent")
