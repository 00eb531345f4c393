"""Glyphs: letters of installed fonts, with captions and attributes, and compositions that training never sees."""

from collections import Counter

import pandas as pd
import pytest
from own_pictures import bring, prepare

from quartet.artifacts.errors import BadInput
from quartet.artifacts.paths import ATTRIBUTE
from quartet.datasets.images import load_images
from quartet.images.sources.glyphs import (
    CHARACTER,
    FAMILIES,
    SIDE,
    STYLE,
    STYLES,
    TWICE,
    UNACCENTED,
    Font,
    characters,
    distinct_glyphs,
    fonts,
    fonts_folder,
    split_glyphs,
)

EXCLUDED = ("LastResort", "Display", "Siz", "NonUni", "cmex", "cmsy", "cmmi")


@pytest.fixture(scope="module")
def glyphs():
    return distinct_glyphs(fonts_folder())[0]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The `info.json` of the glyphs, their folder and what is said of each, by split."""
    folder = tmp_path_factory.mktemp("glyphs")
    info, processed = prepare(folder, images="glyphs")
    splits = ("train", "validation", "test")
    return info, processed, {split: pd.read_csv(processed / f"{split}.csv", keep_default_na=False) for split in splits}


def test_fonts_are_the_text_fonts_in_four_styles_and_computer_modern():
    names = [font.name for font in fonts()]
    assert len(set(names)) == len(FAMILIES) * len(STYLES) + len(UNACCENTED) == 21
    assert not [name for name in names for part in EXCLUDED if part in name]
    assert all((fonts_folder() / f"{name}.ttf").exists() for name in names)
    assert Font("STIXGeneralBolIta", "serif", "bold", "italic") in fonts()


def test_characters_are_latin_letters_with_their_accents_alone():
    found = {each.text: each for each in characters()}
    assert {"a", "Z", "é", "Ǖ", "ử"} <= set(found) and not {"æ", "ø", "ß", "α", "\u212a", "1", "ǽ"} & set(found)
    assert (found["Ế"].letter, found["Ế"].accent) == ("E", "circumflex and acute") and found["q"].accent == "none"


def test_a_glyph_has_captions_that_name_its_parts(glyphs):
    (glyph,) = [each for each in glyphs if each.character.text == "é" and each.font.name == "DejaVuSerif-Bold"]
    assert glyph.captions[0] == "a bold serif small letter e with acute"
    assert [glyph.attributes[name] for name in CHARACTER + STYLE] == ["e", "small", "acute", "serif", "bold", "upright"]
    (italic,) = [each for each in glyphs if each.character.text == "k" and each.font.name == "DejaVuSerif-Italic"]
    assert italic.captions[0] == "an italic serif small letter k"


def test_letters_stand_on_one_line_whole_and_in_one_size(glyphs):
    edges = [pixels for glyph in glyphs for pixels in (glyph.pixels[[0, -1]], glyph.pixels[:, [0, -1]])]
    assert not any(pixels.any() for pixels in edges)
    sans = {each.character.text: each.pixels for each in glyphs if each.font.name == "DejaVuSans"}
    tops = {text: pixels.any(axis=1).argmax() for text, pixels in sans.items()}
    assert tops["S"] + 3 <= tops["s"] and abs(tops["X"] - tops["H"]) <= 1  # case shows by the height alone
    feet = {SIDE - sans[text][::-1].any(axis=1).argmax() for text in "xzXHn"}
    assert len(feet) == 1


def test_no_two_pictures_of_a_font_are_equal_and_other_letters_are_counted(glyphs, monkeypatch):
    seen = Counter((glyph.font.name, glyph.pixels.tobytes()) for glyph in glyphs)
    assert max(seen.values()) == 1
    monkeypatch.setattr("quartet.images.sources.glyphs.FONT_SIZE", 4)  # at which letters look alike
    few, left_out = distinct_glyphs(fonts_folder())
    assert left_out[TWICE] > 100 and len(few) < len(glyphs)
    assert max(Counter((glyph.font.name, glyph.pixels.tobytes()) for glyph in few).values()) == 1


def test_unseen_compositions_have_parts_that_all_are_in_training(glyphs):
    splits = split_glyphs(glyphs)
    assert splits == split_glyphs(glyphs)
    train = [glyph for glyph, split in zip(glyphs, splits, strict=True) if split == "train"]
    test = [glyph for glyph, split in zip(glyphs, splits, strict=True) if split == "test"]
    seen = {glyph.pair for glyph in train}
    unseen = [glyph for glyph in test if glyph.pair not in seen]
    assert 600 < len(unseen) < len(test) and len(test) - len(unseen) > 50
    parts = {part for glyph in train for part in glyph.pair}
    assert all(set(glyph.pair) <= parts for glyph in unseen)
    for split in ("train", "validation", "test"):
        letters = {each.character.letter for each, place in zip(glyphs, splits, strict=True) if place == split}
        assert len(letters) == 52
    kept = Counter(glyph.character for glyph in train)
    assert min(kept.values()) >= 4 and set(kept) == {glyph.character for glyph in glyphs}


def test_they_are_brought_and_prepared_as_a_users_own_are(prepared):
    info, folder, said = prepared
    assert len(info["classes"]) == 52 and info["size"] == SIDE and info["channels"] == 1
    assert info["splits"]["drawn"] == [] and sum(info["counts"].values()) > 7000
    assert info["captions"]["train"] == 3 * info["counts"]["train"]
    assert info["compositions"] == {"character": list(CHARACTER), "style": list(STYLE)}
    assert info["attributes"]["family"] == ["monospaced", "sans serif", "serif"]
    images, labels = load_images(folder, "test")
    rows = said["test"]
    assert len(images) == len(rows) and set(CHARACTER + STYLE) <= {name.removeprefix(ATTRIBUTE) for name in rows}
    letters = [info["classes"][label].lower() for label in labels.tolist()]
    assert letters == rows[f"{ATTRIBUTE}letter"].tolist()
    assert all(len(caption.split("\n")) == 3 for caption in rows["caption"])


def test_the_manifest_says_what_is_left_out_and_where_the_licences_are(tmp_path):
    manifest = bring(tmp_path / "raw", "glyphs")
    assert manifest["not_drawn"]["not in the font"] > 0 and TWICE in manifest["not_drawn"]
    assert "LICENSE_DEJAVU" in manifest["licence"] and "BAKOMA" in manifest["licence"]
    shipped = {path.name for path in fonts_folder().iterdir()}
    assert {"LICENSE_DEJAVU", "LICENSE_STIX"} <= shipped and "LICENSE_BAKOMA" not in shipped
    again = bring(tmp_path / "again", "glyphs")
    assert again["checksums"] == manifest["checksums"]


def test_without_the_fonts_the_message_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="matplotlib is not installed"):
        bring(tmp_path / "raw", "glyphs")
