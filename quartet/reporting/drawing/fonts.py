"""Letters that the figures' font lacks: another font of the system draws them, or a stand-in says which they are."""

import functools
import re
import unicodedata

import numpy as np
from matplotlib import rcParams
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, weight_dict
from matplotlib.ft2font import FT2Font

BODY_WEIGHT = 400
NO_LETTERS = re.compile(r"last ?resort|blank", re.IGNORECASE)  # fonts with a box, or nothing, for every letter


def drawable(text: str) -> str:
    """`text`, with the code point (`U+4E2D`) of each letter that no font here has.

    Letters that only another font has keep their place: its family becomes one of matplotlib's fallbacks.
    """
    if text.isascii() and text.isprintable():
        return text
    missing = {letter for letter in text if not _has(_body_font("sans-serif"), letter)}
    nowhere = "".join(letter for letter in missing if not _fall_back(letter))
    if not nowhere:
        return text
    _say_stand_ins_are_used()
    return re.sub(f"[{re.escape(nowhere)}]+", lambda run: "U" + "".join(map(_code, run[0])), text)


def in_one_cell(letter: str) -> tuple[str, list[str]]:
    """How to draw one letter in a grid of letters: as itself or as its code on two lines; and the fonts to use."""
    if _has(_body_font("monospace"), letter):
        return letter, ["monospace"]
    if drawable(letter) == letter:
        return letter, ["monospace", *rcParams["font.family"]]
    code = _code(letter)[1:]
    return f"{code[: len(code) // 2]}\n{code[len(code) // 2 :]}", ["monospace"]


def columns(text: str) -> int:
    """The width of `text` in letters of the Latin alphabet: Chinese, Japanese and Korean letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _code(letter: str) -> str:
    return f"+{ord(letter):04X}"


def _fall_back(letter: str) -> bool:
    """Let matplotlib use a font that has the letter; returns whether there is one."""
    paths = _paths()
    used = [family for family in rcParams["font.family"] if family in paths]
    family = next((family for family in (*used, *paths) if _has(paths[family], letter)), None)
    if family and family not in used:
        rcParams["font.family"] = [*rcParams["font.family"], family]
    return family is not None


@functools.cache
def _body_font(family: str) -> str:
    return str(findfont(FontProperties(family=[family])))


def _has(path: str, letter: str) -> bool:
    codes = _codes(path)
    place = np.searchsorted(codes, ord(letter))
    return bool(place < len(codes) and codes[place] == ord(letter))


@functools.cache
def _codes(path: str) -> np.ndarray:
    """The sorted code points of a font's letters; none if the font cannot be read."""
    try:
        return np.array(sorted(FT2Font(path).get_charmap()), np.uint32)
    except (OSError, RuntimeError):
        return np.array([], np.uint32)


@functools.cache
def _paths() -> dict[str, str]:
    """A font file of each family on this system, with those most like body text first."""

    def unlike_body_text(font: FontEntry) -> tuple:
        weight = weight_dict.get(font.weight, BODY_WEIGHT) if isinstance(font.weight, str) else font.weight
        return font.style != "normal", abs(weight - BODY_WEIGHT), "sans" not in font.name.lower(), font.name

    found: dict[str, str] = {}
    for font in sorted(fontManager.ttflist, key=unlike_body_text):
        if not NO_LETTERS.search(font.name):
            found.setdefault(font.name, str(font.fname))
    return found


@functools.cache
def _say_stand_ins_are_used() -> None:
    print("pictures: no font here has some letters of the names; their code points (U+4E2D) stand for them", flush=True)
