"""The report's page: pictures in full size, scores with intervals, splits and classes in words."""

import re
import warnings

import numpy as np
import pytest
from browser import PHONE, WIDE, page_at
from markupsafe import escape
from PIL import Image
from scipy.stats import binomtest

from quartet.artifacts import paths
from quartet.artifacts.writing import write_json, write_table
from quartet.classification.confusion_files import write_confusion
from quartet.classification.scores import class_report
from quartet.classification.split_files import write_splits
from quartet.families import FAMILIES
from quartet.reporting.page.html_report import write_report
from quartet.reporting.page.html_tables import shaded_confusion

SIZES = {
    "confusion.png": (500, 450),
    "evaluation/mistakes.png": (2000, 1800),
    "evaluation/reliability.png": (600, 600),
    "training/curves.png": (400, 300),
}


@pytest.fixture
def page_file(tmp_path, monkeypatch):
    """A report on pictures of three sizes."""
    monkeypatch.chdir(tmp_path)
    for family in FAMILIES.values():
        for name in ("metrics.json", "training.json"):
            write_json(paths.report(family.key) / name, {family.headline().score: 0.5})
        for name, size in SIZES.items():
            picture(paths.report(family.key) / name, size)
    picture(paths.processed("images") / "preview.png", (300, 100))
    write_report(paths.REPORT_PAGE, FAMILIES.values())
    return tmp_path / paths.REPORT_PAGE


def picture(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)


@pytest.mark.parametrize("screen", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_click_or_the_space_bar_shows_a_picture_at_full_size_and_again_shrinks_it(page_file, screen):
    with page_at(page_file.as_uri(), screen) as page:
        pictures = page.locator("#cnn figure img")
        pictures.first.scroll_into_view_if_needed()
        page.wait_for_function("[...document.querySelectorAll('#cnn img')].every(p => p.complete && p.naturalWidth)")
        begun = [pictures.nth(number).bounding_box()["width"] for number in range(3)]
        # The page's width for a wide picture, two columns where they have room for the others.
        inside = page.locator("#cnn .columns").first.bounding_box()["width"]
        assert begun[0] == pytest.approx(inside, abs=1) and (begun[1] < 0.6 * inside) == (screen == WIDE)
        for turn in (pictures.first.click, lambda: page.keyboard.press("Space")):
            for width in (2000, begun[0]):
                turn()
                assert pictures.first.bounding_box()["width"] == pytest.approx(width, abs=1)
                assert page.evaluate("document.documentElement.scrollWidth") <= screen[0]
        pictures.nth(1).click()
        assert pictures.nth(1).bounding_box()["width"] == 600
        assert page.complaints == []


def test_the_page_leads_with_pictures_and_shows_intervals(page_file):
    page = page_file.read_text()
    lead, first_table = page.index("Convolutional network</a>: Confusion matrix"), page.index("<table")
    assert lead < page.index('<section id="cnn">') < first_table
    assert '<td title="0.5">0.500</td>' in page


CLASSES = ["猫", "कुत्ता", "مرحبا", "🐶 dog", "rare & odd"]
TEST = [50, 10, 5, 4, 1]
SPLITS = {
    "counts": {"train": 350, "validation": 70, "test": 70},
    "splits": {
        "origin": "350 train, 70 validation, 70 test: as the source says",
        "warnings": ["the same content in two splits, 1 times: a.png (train) = b.png (test)"],
        "classes": {"train": [5 * count for count in TEST], "validation": TEST, "test": TEST},
    },
}


@pytest.fixture
def unequal_page(page_file):
    """A report on an image classifier of unequal classes, named in many scripts; one of the first is taken for rare."""
    folder = paths.report("cnn")
    labels = np.repeat(np.arange(len(CLASSES)), TEST)
    predicted = labels.copy()
    predicted[0] = 4
    scores = {"accuracy": 69 / 70, "balanced_accuracy": 0.996, "test_examples": 70}
    write_json(folder / "metrics.json", scores)
    write_json(folder / "training.json", {"validation_accuracy": 0.9, "steps": 800})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_confusion(folder, labels, predicted, CLASSES, "a title")
        write_splits(folder, SPLITS, CLASSES)
    report = class_report(labels, predicted, CLASSES)
    write_table(folder / "evaluation/classification_report.csv", report, index=True)
    write_report(paths.REPORT_PAGE, FAMILIES.values())
    return page_file.read_text()


def test_every_accuracy_has_its_interval(unequal_page):
    for share, count, value in ((69 / 70, 70, "0.986"), (0.9, 70, "0.900"), (49 / 50, 50, "0.980")):
        theirs = binomtest(round(share * count), count).proportion_ci(method="wilson")
        assert value in unequal_page and f"<td>{theirs.low:.3f}–{theirs.high:.3f}</td>" in unequal_page
    assert re.search(r"balanced accuracy</td><td[^>]*>0.996</td><td>0.\d+–", unequal_page)


def test_splits_warnings_and_rare_classes_are_said_beside_the_score(unequal_page):
    tile = unequal_page[: unequal_page.index('href="#rnn"')]
    assert "fewer than five test examples of 🐶 dog (4), rare &amp; odd (1)" in tile
    for said in (SPLITS["splits"]["origin"], *SPLITS["splits"]["warnings"]):
        assert f">{said}" in unequal_page or f": {said}" in unequal_page
    assert "<td>कुत्ता</td><td>50</td><td>10</td><td>10</td>" in unequal_page
    assert unequal_page.count("fewer than five") == 2  # the tile, and beside the score


def test_the_confusion_matrix_is_text_with_every_name(unequal_page):
    table = unequal_page[unequal_page.index('class="matrix"') :]
    assert [name for name in CLASSES if f"<bdi>{escape(name)}</bdi>" not in table] == []
    cells = re.findall(r"<td[^>]*>(\d*)</td>", table[: table.index("</table>")])
    assert list(map(int, filter(None, cells))) == [49, 1, 10, 5, 4, 1]


def test_data_without_classes_have_no_counts(page_file):
    folder = paths.report("rnn")
    counts = {name: [count] for name, count in SPLITS["counts"].items()}
    write_splits(folder, {**SPLITS, "splits": {**SPLITS["splits"], "classes": counts}})
    write_report(paths.REPORT_PAGE, FAMILIES.values())
    page = page_file.read_text()
    assert "as the source says" in page and "<summary>Examples of each class" not in page
    assert not (folder / "evaluation/class_counts.png").exists()


def test_very_many_classes_have_the_picture_alone():
    names = [f"class {number}" for number in range(31)]
    assert shaded_confusion([["actual", *names], *([name, *["1"] * 31] for name in names)]) == []


def test_heavy_pictures_are_compressed_until_the_page_is_light(page_file):
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), np.uint8)
    for family in FAMILIES:
        for number in range(2):
            Image.fromarray(noise).save(paths.report(family) / f"evaluation/noise{number}.png")
    write_report(paths.REPORT_PAGE, FAMILIES.values())
    assert page_file.stat().st_size <= 3_000_000 and "data:image/webp" in page_file.read_text()
