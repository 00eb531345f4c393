"""A flipped bit in anything that a stage reads ends that stage with one line that names the file."""

import json
import os
import shutil
import time

import pytest
from in_process import run
from real_text import REFERENCE

from quartet.artifacts import paths, verification
from quartet.artifacts.checksums import sha256
from quartet.artifacts.verification import described_files, read_described, write_described

PARAMS = """
download: {text: "file:own.txt"}
preprocess: {text: {tokenizer: character}}
train_cnn: {steps: 2, validate_every: 2, width: 8}
train_rnn: {steps: 2, validate_every: 2, hidden_size: 8, layers: 1}
train_lm: {steps: 2, validate_every: 2, width: 16, layers: 1, heads: 2, context: 16, ngrams: 64}
"""
ARRAYS = ("train.safetensors", "validation.safetensors", "test.safetensors")
# The stage that reads each file, and what the message tells to force.
READ = [
    *(("preprocess", item, f"data/raw/{item}/{name}", f"download@{item}") for item, name in [
        ("images", "digits.csv.gz"), ("images", "manifest.json"), ("text", "text.txt"), ("sequences", "manifest.json"),
    ]),
    *(("preprocess", "sequences", f"data/processed/images/{name}", "preprocess@images") for name in ARRAYS),
    *(("train_cnn", None, f"data/processed/images/{name}", "preprocess@images") for name in (*ARRAYS[:2], "info.json")),
    *(("train_rnn", None, f"data/processed/sequences/{name}", "preprocess@sequences") for name in ARRAYS[:2]),
    *(("train_lm", None, f"data/processed/text/{name}", "preprocess@text")
      for name in ("train.bin", "validation.bin", "train.txt", "tokenizer.json", "info.json")),
    ("evaluate", "cnn", "data/processed/images/test.safetensors", "preprocess@images"),
    ("evaluate", "lm", "data/processed/text/test.bin", "preprocess@text"),
    ("evaluate", "lm", "data/processed/text/test.txt", "preprocess@text"),
    ("evaluate", "rnn", "data/processed/sequences/test.safetensors", "preprocess@sequences"),
    *(("evaluate", key, f"models/{key}/{name}", "repro") for key in ("cnn", "lm", "rnn")
      for name in ("card.json", "model.safetensors")),
]  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Raw and processed data, and models of a few steps."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "own.txt").write_text(REFERENCE[:20_000])
    (folder / "params.yaml").write_text(PARAMS)
    for item in ("images", "text", "sequences"):
        run(folder, "stages.download", item)
        run(folder, "stages.preprocess", item)
    run(folder, "stages.download", "weights")
    for key in ("cnn", "lm", "rnn"):
        run(folder, f"stages.train_{key}")
    return folder


def flip(path):
    """Flip a bit in the middle of a file; of JSON, one that leaves it JSON."""
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    if path.suffix == ".json" and (source := content.find(b'"source": "')) >= 0:
        place = source + len('"source": "')
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("stage", "argument", "damaged", "advice"), READ, ids=str)
def test_a_flipped_bit_is_named_by_the_stage_that_reads_it(built, stage, argument, damaged, advice):
    path, whole = built / damaged, (built / damaged).read_bytes()
    flip(path)
    try:
        printed = run(built, f"stages.{stage}", *([argument] if argument else []), code=1)
    finally:
        path.write_bytes(whole)
    (line,) = [line for line in printed.splitlines() if damaged in line]
    assert "dvc checkout" in line and advice in line and "Traceback" not in printed


@pytest.mark.parametrize("text", ["[]", "null", "{}", "7", '{"source": 5}', '{"source": "digits", "classes": "ten"}'])
@pytest.mark.parametrize(
    "damaged", ["data/raw/images/manifest.json", "data/processed/images/info.json", "models/cnn/card.json"]
)
def test_json_of_another_shape_is_said_with_its_file(built, damaged, text):
    path, whole = built / damaged, (built / damaged).read_bytes()
    stage = {"manifest.json": ("preprocess", "images"), "info.json": ("train_cnn",), "card.json": ("evaluate", "cnn")}
    path.write_text(text)
    try:
        name, *argument = stage[path.name]
        printed = run(built, f"stages.{name}", *argument, code=1)
    finally:
        path.write_bytes(whole)
    (line,) = printed.strip().splitlines()
    assert damaged in line and "found" in line and "wanted" in line and "dvc" in line


def test_a_large_file_is_read_once_while_it_stays_as_it_is(tmp_path, home, monkeypatch):
    monkeypatch.setattr(verification, "LARGE", 1000)
    data = tmp_path / "data"
    data.mkdir()
    (data / "large.bin").write_bytes(bytes(2000))
    write_described(data / "info.json", described_files(data))
    read = []
    monkeypatch.setattr(verification, "sha256", lambda path: read.append(path.name) or sha256(path))
    for _ in range(3):
        read_described(data / "info.json", {}, "")
    assert read == ["large.bin"] and len(list(paths.verified().iterdir())) == 1
    os.utime(data / "large.bin", ns=(time.time_ns(), time.time_ns()))
    read_described(data / "info.json", {}, "")
    shutil.copy(data / "large.bin", data / "copy")
    (data / "copy").replace(data / "large.bin")
    read_described(data / "info.json", {}, "")
    assert read == ["large.bin"] * 3
    (data / "large.bin").write_bytes(bytes(1999) + b"1")
    with pytest.raises(ValueError, match=r"large\.bin: expected sha256"):
        read_described(data / "info.json", {}, "")


def test_the_digest_covers_all_but_itself_and_older_files_have_none(tmp_path):
    content = {"mean": [0.25, 1e-7], "classes": ["dög"], 3: (1, 2)}
    write_described(tmp_path / "info.json", content)
    plain = {"mean": [0.25, 1e-7], "classes": ["dög"], "3": [1, 2]}
    assert read_described(tmp_path / "info.json", {"mean": [float]}, "") == plain
    written = json.loads((tmp_path / "info.json").read_text())
    for name, other in (("mean", [0.25, 1e-8]), ("classes", []), ("new", None), ("digest", "0")):
        (tmp_path / "info.json").write_text(json.dumps({**written, name: other}))
        with pytest.raises(ValueError, match=r"info\.json: its content is not what was written"):
            read_described(tmp_path / "info.json", {}, "")
    (tmp_path / "info.json").write_text(json.dumps(plain))
    assert read_described(tmp_path / "info.json", {}, "") == plain


@pytest.mark.parametrize(
    "damage", [lambda note: note.write_bytes(b"\xff\0"), lambda note: (note.unlink(), note.mkdir())]
)
def test_a_damaged_note_of_what_was_compared_costs_a_reading_and_no_more(home, monkeypatch, damage):
    monkeypatch.setattr(verification, "LARGE", 1000)
    (home / "large.bin").write_bytes(b"a" * 2000)
    write_described(home / "info.json", {"checksums": {"large.bin": sha256(home / "large.bin")}})
    read_described(home / "info.json", {}, "")
    (note,) = paths.verified().iterdir()
    damage(note)
    read_described(home / "info.json", {}, "")
