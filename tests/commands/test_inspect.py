"""`python -m quartet inspect`: what it prints of a user's data, writes into the settings, and refuses."""

import shutil
from pkgutil import resolve_name

import pytest
from in_process import run
from own_pictures import draw, prepare
from PIL import Image

from benchmarks.code_graph import TOP
from quartet.families import ITEMS
from quartet.images import inspection
from quartet.images.inspection import inspect_images
from quartet.images.preparation.decoding import decode, read_header
from quartet.images.settings import PreprocessImages
from quartet.params.fields import every_setting
from quartet.settings import read_settings, schema


@pytest.fixture
def place(tmp_path):
    """A folder with the settings, and another with two classes of pictures."""
    shutil.copy(TOP / "params.yaml", tmp_path)
    animals(tmp_path / "my pets (2024), été [a]")
    return tmp_path


def animals(folder):
    for seed in range(8):
        draw(folder / ("cat" if seed < 4 else "dog") / f"{seed}.png", size=(20 + seed, 30), seed=seed)
    (folder / "notes.md").write_text("notes")


BROKEN = {
    "<<<<<<< HEAD\nseed: 0\n": "is not valid YAML 1.2",
    "- seed: 0\n": "found [{'seed': 0}], expected a mapping",
    None: "cannot be read: No such file or directory",
}


@pytest.mark.parametrize("text", BROKEN, ids=str)
def test_a_broken_settings_file_is_said(place, text):
    if text is None:
        (place / "params.yaml").unlink()
    else:
        (place / "params.yaml").write_text(text)
    for words in (["inspect", "images", "my pets (2024), été [a]"], ["plan", "cnn", "--with", "train_cnn.width=8"]):
        assert BROKEN[text] in run(place, "quartet", *words, code=2)
    assert BROKEN[text] in run(place, "quartet", "use", "--with", "train_cnn.width=8", code=2)


def test_it_is_said_where_changes_are_not_noticed(place):
    found = run(place, "quartet", "inspect", "images", "my pets (2024), été [a]", "--write")
    assert "lies outside data/own/images, where alone `dvc repro` notices changes" in found
    assert "lies outside data/own/images" in run(place, "stages.download", "images")
    shutil.move(place / "my pets (2024), été [a]", place / "data/own/images/pets")
    assert "lies outside" not in run(place, "quartet", "inspect", "images", "data/own/images/pets", "--write")
    assert "lies outside" not in run(place, "stages.download", "images")


def test_the_kinds_of_own_sources_are_those_of_the_settings():
    known = {setting.name: setting.rule for setting in every_setting(schema())}
    for key, item in ITEMS.items():
        assert {f"{kind}:" for kind in item.own} == set(known[f"download.{key}"].prefixes)
        assert callable(resolve_name(item.inspect))


def test_a_look_at_pictures(place):
    shutil.copy(place / "my pets (2024), été [a]/cat/0.png", place / "my pets (2024), été [a]/cat/copy.png")
    found = run(place, "quartet", "inspect", "images", "my pets (2024), été [a]")
    lines = dict(line.split("  ", 1) for line in found.splitlines() if "  " in line)
    assert lines["pictures"].strip() == "9" and lines["sizes"].strip() == "20×30 to 27×30"
    assert lines["prepared as"].strip() == "48×48, grey, the middle is cut out"
    assert "left out (not a picture): notes.md" in found and "exact cop" in found
    assert (place / "params.yaml").read_text() == (TOP / "params.yaml").read_text()


def test_write_sets_any_path_and_the_settings_and_keeps_comments(place):
    words = ["my pets (2024), été [a]", "--write", "--with", "preprocess.images.size=32"]
    assert "  preprocess.images.size: 32\n" in run(place, "quartet", "inspect", "images", *words)
    settings = read_settings(place / "params.yaml")
    assert settings.source("images") == "folder:my pets (2024), été [a]" and settings.preparation("images").size == 32
    assert (place / "params.yaml").read_text().startswith((TOP / "params.yaml").read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("item", "source", "reason"),
    [
        ("images", "digits", "no such file or folder; expected is folder:PATH or table:PATH"),
        ("images", "folder:nowhere", "is not a folder"),
        ("sequences", "a.csv", "give csv:PATH or passages:PATH"),
        ("sequences", "csv:a.csv", "column y looks like a label"),
        ("text", "a.pdf", "give file:PATH or folder:PATH or jsonl:PATH"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_changes_nothing(place, item, source, reason):
    (place / "a.csv").write_text("x,y\n1,2\n")
    (place / "a.pdf").write_text("")
    assert reason in run(place, "quartet", "inspect", item, source, "--write", code=2)
    assert (place / "params.yaml").read_text() == (TOP / "params.yaml").read_text()


def test_a_setting_of_something_else_is_refused(place):
    words = ["my pets (2024), été [a]", "--with", "train_cnn.steps=3"]
    assert "train_cnn.steps" in run(place, "quartet", "inspect", "images", *words, code=2)


def test_captions_without_classes_are_said_not_to_be_for_the_classifier(tmp_path):
    for number in range(6):
        draw(tmp_path / f"own/{number}.png", seed=number % 5)  # two are equal
        (tmp_path / f"own/{number}.txt").write_text("a picture")
    found = inspect_images(f"folder:{tmp_path / 'own'}", PreprocessImages())
    assert found.notes == ["there are captions but no classes, so that no classifier is trained"]
    info, _ = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    assert info["splits"] == found.splits and found.facts["captions"] == "6"


@pytest.mark.parametrize("whole", [True, False])
def test_a_look_splits_as_the_pipeline_does(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(inspection, "DECODED", 100 if whole else 0)
    animals(tmp_path / "own")
    found = inspect_images(f"folder:{tmp_path / 'own'}", PreprocessImages())
    info, _ = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    assert info["splits"] == found.splits and info["left_out"].keys() == {"not a picture"}
    assert found.facts["prepared as"] == f"{info['size']}×{info['size']}, grey, the middle is cut out"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_header_tells_shape_and_depth(tmp_path, mode):
    draw(tmp_path / "a.png", mode, (30, 20))
    with (tmp_path / "a.png").open("rb") as whole, (tmp_path / "a.png").open("rb") as header:
        pixels, told = decode(whole, "a"), read_header(header, "a")
    assert told.shape == pixels.shape and told.dtype == pixels.dtype


def test_a_header_tells_that_a_picture_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(tmp_path / "a.jpg", "RGB", (30, 20), exif)
    with (tmp_path / "a.jpg").open("rb") as stream:
        assert read_header(stream, "a").shape == (30, 20, 3)
