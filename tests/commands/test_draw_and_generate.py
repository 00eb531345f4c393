"""`draw` and `generate`: what they write, and what they refuse before they load a model."""

import itertools
import re

import numpy as np
import pytest
import torch
from family_plans import prepare, text_to_image_plan, trained
from in_process import quartet
from PIL import Image
from typer.testing import CliRunner

from benchmarks.code_graph import TOP
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import read_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of text to image, trained for a moment."""
    folder = tmp_path_factory.mktemp("draw")
    prepare(folder)
    _, plan = text_to_image_plan(folder, torch.device("cpu"))
    info = read_json(folder / "grey/info.json")
    data = {name: info[name] for name in (*plan.card_keys, "source", "sha256")}
    about = {"network": plan.description, "data": data, "training": {}}
    weights = trained(text_to_image_plan, folder).weights
    generator = torch.Generator().manual_seed(0)  # so little trained, it would not answer to captions
    weights = {name: each + 0.3 * torch.randn(each.shape, generator=generator) for name, each in weights.items()}
    save_model(folder / "models/diffusion", weights, family="diffusion", **about)
    return folder


def run(*words):
    return CliRunner().invoke(quartet, list(words))


def draw(out, *words):
    params = str(TOP / "params.yaml")
    return run("draw", "the two", "--count", "2", "--steps", "1", "--params", params, "--out", str(out), *words)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("b.c.webp", "WEBP")]
)
def test_a_drawing_is_of_the_format_that_its_name_ends_in(folder, tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(folder)
    done = draw(tmp_path / name)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind and picture.size == (8 * 8 * 2 + 4, 8 * 8)


@pytest.mark.parametrize(("name", "count", "most"), [("a.webp", 32, "16,383"), ("a.jpg", 128, "65,500")])
def test_a_sheet_that_its_format_cannot_hold_is_refused_before_it_is_drawn(
    folder, tmp_path, monkeypatch, name, count, most
):
    monkeypatch.chdir(folder)
    done = draw(tmp_path / name, "--zoom", "64", "--gap", "0", "--count", str(count))
    assert done.exit_code == 2 and not list(tmp_path.iterdir())
    assert f"would have {count * 512:,} pixels on a side" in done.stderr and f"at most {most}" in done.stderr


@pytest.mark.parametrize("name", ["a.gif", "a.pngx", "drawing", "a.tar.gz"])
def test_another_ending_is_refused_before_the_model_is_loaded(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # where there is no model
    done = draw(name)
    assert done.exit_code == 2 and not list(tmp_path.iterdir())
    assert f"draw: --out: found {name}, allowed are names that end in .png, .jpg, .jpeg, .webp" in done.stderr


@pytest.mark.parametrize("seed", ["-1", str(2**63), str(2**200)])
@pytest.mark.parametrize("words", [("draw", "the two"), ("generate", "The ")], ids=lambda words: words[0])
def test_a_seed_that_torch_cannot_take_is_refused(tmp_path, monkeypatch, words, seed):
    monkeypatch.chdir(tmp_path)
    done = run(*words, "--seed", seed)
    told = " ".join(done.stderr.replace("│", " ").split())
    assert done.exit_code == 2 and "Invalid value for '--seed': Input should be" in told
    assert ("than or equal to 0 " in told) if seed == "-1" else (f"than or equal to {2**63 - 1} " in told)


def cells(path, rows, columns):
    """The pictures of a sheet, by row and column; between them are four white pixels."""
    with Image.open(path) as opened:
        assert opened.size == (68 * columns - 4, 68 * rows - 4)
        pixels = np.asarray(opened).copy()
    found = [
        [pixels[y : y + 64, x : x + 64].copy() for x in range(0, 68 * columns, 68)] for y in range(0, 68 * rows, 68)
    ]
    for y, x in itertools.product(range(0, 68 * rows, 68), range(0, 68 * columns, 68)):
        pixels[y : y + 64, x : x + 64] = 255
    assert (pixels == 255).all()
    return found


def drawn(tmp_path, *words):
    params, out = str(TOP / "params.yaml"), tmp_path / "a.png"
    done = run("draw", *words, "--steps", "2", "--params", params, "--out", str(out))
    assert done.exit_code == 0, done.output
    rows, columns = map(int, done.output.split(": ")[1].split(" pictures")[0].split(" × "))
    return cells(out, rows, columns)


def test_the_cells_of_a_grid_are_single_drawings(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    captions = ["the two", "a handwritten seven"]
    grid = drawn(
        tmp_path, *captions, *["--guidance", "1", "--guidance", "9", "--seed", "4", "--seed", "3", "--seed", "5"]
    )
    assert len(grid) == 4 and len(grid[0]) == 3
    assert len({picture.tobytes() for row in grid for picture in row}) == 12
    for row, (caption, guidance) in enumerate(itertools.product(captions, "19")):
        for column, seed in enumerate("435"):
            [[alone]] = drawn(tmp_path, caption, "--count", "1", "--guidance", guidance, "--seed", seed)
            assert np.array_equal(alone, grid[row][column])


def test_pictures_touch_without_a_gap(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    [apart] = drawn(tmp_path, "the two", "--count", "3", "--zoom", "8")
    assert draw(tmp_path / "b.png", "--count", "3", "--gap", "0", "--steps", "2").exit_code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.concatenate(apart, axis=1))


@pytest.mark.parametrize("more", [(), ("--negative", "the nine", "--guidance", "3")], ids=["plain", "negative"])
def test_an_interpolation_has_the_drawings_of_its_captions_at_its_ends(folder, tmp_path, monkeypatch, more):
    monkeypatch.chdir(folder)
    rows = drawn(tmp_path, "--between", "the two", "please draw the digit 7", "--seed", "3", "--seed", "4", *more)
    assert [len(row) for row in rows] == [8, 8]
    for row, seed in zip(rows, "34", strict=True):
        for end, caption in ((0, "the two"), (-1, "please draw the digit 7")):
            [[alone]] = drawn(tmp_path, caption, "--count", "1", "--seed", seed, *more)
            assert np.abs(alone.astype(int) - row[end]).max() <= 1
        assert len({picture.tobytes() for picture in row}) > 2


def test_a_picture_is_varied_and_filled(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    noise = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(noise).save(tmp_path / "given.png")
    hole = np.zeros((8, 8), np.uint8)
    hole[:4] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    given, large = ("--picture", str(tmp_path / "given.png"), "--count", "2"), noise.repeat(8, 0).repeat(8, 1)
    for picture in drawn(tmp_path, "the two", *given, "--strength", "0")[0]:
        assert np.array_equal(picture, large)
    for picture in drawn(tmp_path, "the two", *given, "--strength", "0.5")[0]:
        assert not np.array_equal(picture, large)
    for picture in drawn(tmp_path, "the two", *given, "--mask", str(tmp_path / "hole.png"), "--resamplings", "2")[0]:
        assert np.array_equal(picture[32:], large[32:]) and not np.array_equal(picture[:32], large[:32])


WITHOUT_USE = [
    ("The --next-words 5 --seed 3 --temperature 0", "--next-words does not use --temperature, --seed"),
    ("The --next-words 5 --stop . --tokens 4", "--next-words does not use --stop, --tokens"),
    ("a___ --tokens 5", "a text with ___ does not use --tokens"),
    ("a___ b --repetition-penalty 1.0", "a text with ___ does not use --repetition-penalty"),
]


@pytest.mark.parametrize(("words", "said"), WITHOUT_USE, ids=[words for words, _ in WITHOUT_USE])
def test_options_that_generate_does_not_use_are_refused(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    done = run("generate", *words.split(" "))
    assert done.exit_code == 2 and done.stderr.startswith(f"generate: {said}\n"), done.output


def test_a_drawing_does_not_replace_the_picture_that_it_starts_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("own.png")
    before = (tmp_path / "own.png").read_bytes()
    done = run("draw", "two", "--picture", "own.png", "--strength", "0.6", "--out", "own.png")
    assert done.exit_code == 2 and "is the input itself" in done.stderr
    assert (tmp_path / "own.png").read_bytes() == before


IDLE = [
    ("--strength 0.5", "--strength: does nothing without --picture"),
    ("--mask a.png", "--mask: does nothing without --picture"),
    ("--resamplings 3", "--resamplings: does nothing without --picture"),
    ("--picture a.png", "--picture: add --strength 0.6 .* or --mask FILE"),
    ("--picture a.png --strength 0.5 --resamplings 3", "--resamplings: does nothing without --mask"),
    ("--negative nine --guidance 1", "--negative: guidance 1 does not use it"),
    ("--negative blob", "negative: 'blob': unknown word"),
    ("zebra", "'zebra': unknown word"),
    ("--sampler ddim", "a model with the objective flow takes the samplers heun, euler, not ddim"),
    ("--negative ", "negative: .* has no words"),
    ("--between", "between: found 1 captions; pictures are drawn between two"),
    ("seven --between --count 1", "between: found 1 picture; there must be at least 2"),
    ("seven --between --rejection 0.5", "between: all pictures are drawn from the same noise, so rejection must be 0"),
    ("--picture none.png --strength 0.5", "--picture: none.png: No such file"),
]


@pytest.mark.parametrize(("words", "said"), IDLE, ids=[words for words, _ in IDLE])
def test_options_that_do_nothing_or_contradict_are_refused(folder, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    params = str(TOP / "params.yaml")
    done = run("draw", "two", *words.split(" "), "--params", params, "--out", str(tmp_path / "a.png"))
    assert done.exit_code == 2 and re.search(f"^draw: {said}", done.stderr), done.output
    assert not list(tmp_path.iterdir())
