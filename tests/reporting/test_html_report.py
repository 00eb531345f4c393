"""A picture on the report's page can be looked at in its full size."""

import numpy as np
import pytest
from browser import PHONE, WIDE, page_at
from PIL import Image

from quartet.artifacts import paths
from quartet.artifacts.writing import write_json
from quartet.families import FAMILIES
from quartet.reporting.html_report import write_report

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


def test_heavy_pictures_are_compressed_until_the_page_is_light(page_file):
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), np.uint8)
    for family in FAMILIES:
        for number in range(2):
            Image.fromarray(noise).save(paths.report(family) / f"evaluation/noise{number}.png")
    write_report(paths.REPORT_PAGE, FAMILIES.values())
    assert page_file.stat().st_size <= 3_000_000 and "data:image/webp" in page_file.read_text()
