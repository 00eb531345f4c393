"""A language model goes on with another text: its tokenizer stays, it ends early, and what it forgets is told."""

import json
import shutil

import pytest
from in_process import run
from real_text import REFERENCE

from quartet.artifacts.writing import read_json, write_json

PARAMS = """
download: {{text: "{source}"}}
preprocess: {{text: {{tokenizer: "{tokenizer}", vocabulary_size: 400}}}}
train_lm: {{architecture: {architecture}, steps: {steps}, validate_every: 10, width: 32, layers: 1, heads: 2,
  context: 16, ngrams: 256, batch_size: 8, {more}}}
"""
KEPT, FIRST = "folder:data/own/weights/first", "start_from: data/own/weights/first"
REMEMBER = f"{FIRST}, remember: data/own/weights/first/validation.txt"
PROSE, SHOUTED = REFERENCE[:30_000], REFERENCE[100_000:130_000].upper()


def prepare(folder, tokenizer="bpe", more="", source="file:own.txt", architecture="decoder", steps=10):
    settings = {"source": source, "tokenizer": tokenizer, "architecture": architecture, "steps": steps, "more": more}
    (folder / "params.yaml").write_text(PARAMS.format(**settings))


def build(folder, code=0, **settings):
    """What the training says, after the stages before it."""
    prepare(folder, **settings)
    for words in (("download", "text"), ("download", "weights"), ("preprocess", "text")):
        run(folder, f"stages.{words[0]}", words[1])
    return run(folder, "stages.train_lm", code=code)


def keep_as(folder, name):
    """What a user does: copy the model, and the text that it was validated on beside it."""
    kept = folder / "data/own/weights" / name
    shutil.copytree(folder / "models/lm", kept)
    shutil.copy(folder / "data/processed/text/validation.txt", kept)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model of prose; the text there is now another one."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "own.txt").write_text(PROSE)
    build(folder, steps=40)
    keep_as(folder, "first")
    (folder / "own.txt").write_text(SHOUTED)
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def test_a_model_goes_on_with_its_tokenizer_and_what_it_forgets_is_told(folder):
    tokenizer, first = (
        (folder / "models/lm/tokenizer.json").read_bytes(),
        read_json(folder / "reports/lm/training.json"),
    )
    assert "start_validation_bits_per_byte" not in first
    said = build(
        folder, tokenizer=KEPT, more=f"{REMEMBER}, patience: 2, schedule: constant, learning_rate: 0.05", steps=900
    )
    info, card = read_json(folder / "data/processed/text/info.json"), read_json(folder / "models/lm/card.json")
    assert (folder / "data/processed/text/tokenizer.json").read_bytes() == tokenizer
    assert (info["tokenizer"], info["tokenizer_from"], card["start"]["new"]) == ("bpe", KEPT, [])
    scores = read_json(folder / "reports/lm/training.json")
    assert scores["start_first_text_bits_per_byte"] == pytest.approx(first["validation_bits_per_byte"], abs=2e-6)
    assert scores["first_text_bits_per_byte"] > scores["start_first_text_bits_per_byte"] + 0.1
    assert scores["validation_bits_per_byte"] < scores["start_validation_bits_per_byte"] - 0.5
    assert "train_lm.remember: " in said and "no better score in 2 validations" in said
    assert scores["steps"] == scores["kept_step"] + 20 < 900

    run(folder, "stages.evaluate", "lm")
    tested = read_json(folder / "reports/lm/metrics.json")
    told = [name for name in tested if "first_text" in name]
    assert {name: tested[name] for name in told} == {name: scores[name] for name in told} and len(told) == 2


def test_a_model_that_gets_worse_says_so(folder):
    (folder / "own.txt").write_text(PROSE)
    said = build(
        folder, tokenizer=KEPT, more=f"{FIRST}, optimizer: sgd, learning_rate: 10, warmup: 0, clip: 0", steps=1
    )
    assert "it was better before: lower train_lm.learning_rate" in said and "train_lm.remember" not in said


def test_another_tokenizer_is_refused_with_the_setting_that_keeps_the_right_one(folder):
    said = build(folder, more=FIRST, code=2)
    assert "data/own/weights/first has another tokenizer than data/processed/text" in said
    assert f"set preprocess.text.tokenizer to {KEPT}" in said


def test_the_same_text_needs_no_setting(folder):
    (folder / "own.txt").write_text(PROSE)
    build(folder, more=FIRST)
    assert read_json(folder / "models/lm/card.json")["start"]["new"] == []


def test_a_model_of_an_earlier_version_needs_its_tokenizer_beside_it(folder):
    model = folder / "data/own/weights/first"
    tokenizer = (model / "tokenizer.json").rename(folder / "tokenizer.json")
    card = read_json(model / "card.json")
    write_json(model / "card.json", {name: card[name] for name in card if name not in ("checksums", "digest")})
    prepare(folder, tokenizer=KEPT)
    run(folder, "stages.download", "text")
    assert "holds no tokenizer.json; it is from an earlier" in run(folder, "stages.preprocess", "text", code=2)
    assert "holds no tokenizer.json; it is from an earlier" in build(folder, more=FIRST, code=2)
    shutil.move(tokenizer, model / "tokenizer.json")
    build(folder, tokenizer=KEPT, more=FIRST)


def test_a_damaged_tokenizer_a_missing_text_and_a_missing_model_are_named(folder):
    prepare(folder, tokenizer=KEPT, more="remember: a.txt")
    assert "train_lm.start_from, which is null" in run(folder, "stages.preprocess", "text", code=2)
    prepare(folder, tokenizer=KEPT, more=f"{FIRST}, remember: absent.txt")
    assert (
        "train_lm.remember: " in (told := run(folder, "stages.download", "weights", code=2)) and "No such file" in told
    )
    run(folder, "stages.download", "text")
    tokenizer = folder / "data/own/weights/first/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("a", "b", 1))
    assert "tokenizer.json: expected sha256" in run(folder, "stages.preprocess", "text", code=1)
    prepare(folder, tokenizer="folder:own.txt")
    assert "is no folder of a model" in run(folder, "stages.preprocess", "text", code=2)


def test_a_text_to_remember_must_be_one(folder):
    for content, message in ((b"\xff\xfe", "byte 0 is not UTF-8"), (b" \n", "has no text")):
        (folder / "other.txt").write_bytes(content)
        assert message in build(folder, tokenizer=KEPT, more=f"{FIRST}, remember: other.txt", code=2)
    prepare(folder, tokenizer=KEPT, more=FIRST)  # the text is there, but no longer wanted
    assert "does not hold" in run(folder, "stages.train_lm", code=2)


def test_a_translator_goes_on_with_other_pairs_and_remembers_no_text(tmp_path):
    words = sorted({word for word in PROSE.split() if word.isalpha()})[:150]
    pairs = [{"source": f"{a} {b}", "target": f"{b} {a}"} for a, b in zip(words, words[7:], strict=False)]
    settings = {"source": "pairs:own.jsonl", "architecture": "encoder-decoder"}
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    build(tmp_path, **settings)
    shutil.copytree(tmp_path / "models/lm", tmp_path / "data/own/weights/first")
    turned = [{"source": pair["target"], "target": pair["source"].upper()} for pair in pairs]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in turned))
    assert "set preprocess.text.tokenizer to" in build(tmp_path, more=FIRST, code=2, **settings)
    build(tmp_path, tokenizer=KEPT, more=FIRST, **settings)
    assert read_json(tmp_path / "models/lm/card.json")["start"]["new"] == []
    refused = build(tmp_path, tokenizer=KEPT, more=f"{FIRST}, remember: own.jsonl", code=2, **settings)
    assert "a translator of pairs reads none; set it to null" in refused
