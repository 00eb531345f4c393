"""Names in any script: a font that has the letters, else stand-ins that can be told apart."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from matplotlib import rcParams
from matplotlib.font_manager import findfont, fontManager

from quartet.classification.scores import confusion_counts
from quartet.reporting.classification_figures import confusion_figure
from quartet.reporting.drawing import fonts
from quartet.reporting.drawing.figures import printable
from quartet.reporting.image_sheets import image_sheet
from quartet.reporting.parallel_coordinates import parallel_coordinates
from quartet.reporting.sequence_figures import Fan, fan_figure, paths_figure, series_figure
from quartet.reporting.text_figures import heads_sheet, text_heat

NAMES = ["中文", "文中", "नमस्ते", "नमस्कार", "👍🏽", "🐶 dog", "𠮷野家", "مرحبا", "\x07", "plain"]


@pytest.fixture(autouse=True)
def only_the_fonts_of_matplotlib(monkeypatch):
    """So that a test sees the same on every machine; and no word of an earlier test counts."""
    own = [font for font in fontManager.ttflist if "mpl-data" in str(font.fname)]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setitem(rcParams, "font.family", ["sans-serif"])
    for function in (fonts._paths, fonts._say_stand_ins_are_used):
        function.cache_clear()
    yield
    fonts._paths.cache_clear()


def drawn(figure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
    return stream.getvalue()


def test_every_figure_draws_every_script_without_a_warning_and_says_so_once(capsys):
    many = np.zeros((len(NAMES), 1, 8, 8))
    text = "".join(NAMES)
    labels = np.arange(len(NAMES))
    drawn(confusion_figure(confusion_counts(labels, labels, NAMES), "a title"))
    drawn(image_sheet([many], ["नमस्ते"], [[f"{name},\nnot 中文" for name in NAMES]], "猫"))
    drawn(heads_sheet(np.ones((1, 1, len(NAMES), len(NAMES))), NAMES))
    drawn(paths_figure([np.zeros((2, 2))] * len(NAMES), NAMES))
    fans = [Fan(f"${name}_$", *[np.arange(3.0)] * 5) for name in NAMES]
    drawn(fan_figure(fans))
    curves = [np.zeros((4, 1))] * len(NAMES)
    drawn(series_figure(curves, curves, [np.ones(4)] * len(NAMES), [(f"${n}_$", n) for n in NAMES], "title"))
    drawn(text_heat(text, [0.5] * len(text), "a title"))
    trials = {"download.text": ["file:猫.txt", "file:dog.txt"], "score": [0.1, 0.2]}
    drawn(parallel_coordinates(pd.DataFrame(trials), "score"))
    (line,) = capsys.readouterr().out.splitlines()
    assert "code points" in line


def test_stand_ins_are_the_code_points_and_other_letters_stay():
    assert printable("犬 🐶 dog") == "U+72AC U+1F436 dog" and printable("中文") == "U+4E2D+6587"
    assert printable("مرحبا שלום été Ωμέγα") == "مرحبا שלום été Ωμέγα"


@pytest.mark.parametrize("longest", [12, 30])
def test_distinct_names_stay_distinct_however_short(longest):
    names = [*NAMES, *(f"{'中' * 20}{letter}{'文' * 20}" for letter in "一二三四五六七八九十")]
    shown = [printable(name, longest) for name in names]
    assert len(set(shown)) == len(names) and max(map(len, shown)) <= longest


def test_plain_names_are_drawn_without_looking_for_fonts(monkeypatch):
    monkeypatch.setattr(fonts, "_has", None)
    assert printable("deer crossing") == "deer crossing"


def test_a_font_that_has_the_letter_draws_it(tmp_path, capsys):
    font = TTFont(findfont("DejaVu Sans"))
    for table in font["cmap"].tables:
        table.cmap = {ord("中"): "A", ord("文"): "B"}
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 6, 16):
            record.string = "Two Letters"
    font.save(tmp_path / "two.ttf")
    fontManager.addfont(tmp_path / "two.ttf")
    latin = drawn(paths_figure([np.zeros((2, 2))], ["name"]))
    assert printable("中文") == "中文" and printable("中猫") == "中U+732B"
    assert rcParams["font.family"] == ["sans-serif", "Two Letters"]
    drawn(paths_figure([np.zeros((2, 2))], ["中文"]))
    drawn(text_heat("中a文", [0.5] * 3, "a title"))
    assert drawn(paths_figure([np.zeros((2, 2))], ["name"])) == latin, "a fallback changes no other name"
    assert printable("中" * 30).count("中") == 14, "wide letters take the room of two"
