"""Glyphs: the Latin letters of the fonts that matplotlib ships, with captions that say letter and style.

Every picture is a composition: letter × case × accent × family × weight × slant. Some pairs of a character and a style
are held out of training although both occur in it, each with others: drawing these takes more than memory. The pictures
and their table are written as a user's own would be (`datasets/picture_folders`), and are read as such.
"""

import csv
import importlib.util
import sys
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from quartet.artifacts.errors import BadInput
from quartet.artifacts.paths import ATTRIBUTE
from quartet.datasets.picture_folders.own_pictures import copy_own_pictures, find_own_pictures

GLYPHS = "glyphs"  # the value of `download.images`
SIDE, FONT_SIZE, BASELINE = 32, 19, 23  # pixels; every letter of every font fits, with its accents
SEED = 0  # of the splits
UNSEEN = 0.1  # share of the pairs of character and style that are held out whole
HELD_OUT = 0.1  # share of the other pictures that validate, and of those with a twin in training that test as well
FEWEST = 4  # training pictures that each character keeps
STYLES = {
    ("regular", "upright"): ("", "", "", ""),
    ("bold", "upright"): ("-Bold", "-Bold", "-Bold", "Bol"),
    ("regular", "italic"): ("-Oblique", "-Italic", "-Oblique", "Italic"),
    ("bold", "italic"): ("-BoldOblique", "-BoldItalic", "-BoldOblique", "BolIta"),
}
FAMILIES = {"DejaVuSans": "sans serif", "DejaVuSerif": "serif", "DejaVuSansMono": "monospaced", "STIXGeneral": "serif"}
# Computer Modern, whose tables of characters have accents in places of its own.
UNACCENTED = {
    "cmr10": ("serif", "regular", "upright"),
    "cmb10": ("serif", "bold", "upright"),
    "cmti10": ("serif", "regular", "italic"),
    "cmss10": ("sans serif", "regular", "upright"),
    "cmtt10": ("monospaced", "regular", "upright"),
}
LICENCE = (
    "DejaVu and STIX: free, see LICENSE_DEJAVU and LICENSE_STIX beside the fonts in the installed matplotlib. Computer "
    "Modern: the BaKoMa Fonts Licence, which matplotlib does not install; it is LICENSE/LICENSE_BAKOMA in its sources"
)
MISSING, TWICE = "not in the font", "the same bitmap as another character of the font"  # why a glyph is left out
CHARACTER, STYLE = ("letter", "case", "accent"), ("family", "weight", "slant")


@dataclass(frozen=True)
class Font:
    """A font file and its style."""

    name: str
    family: str
    weight: str
    slant: str

    @property
    def style(self) -> str:
        """In words, such as "bold italic serif"; what is regular or upright goes without saying."""
        said = (self.weight, self.slant, self.family)
        return " ".join(word for word in said if word not in ("regular", "upright"))


@dataclass(frozen=True)
class Character:
    """A Latin letter, which Unicode decomposes into a letter from A to Z and accents, and its Unicode name."""

    text: str
    name: str

    @property
    def letter(self) -> str:
        """The letter from A to Z, with its case."""
        return unicodedata.normalize("NFD", self.text)[0]

    @property
    def accent(self) -> str:
        """Its accents, such as "circumflex and acute", or "none"."""
        return self.name.partition(" with ")[2] or "none"


@dataclass(frozen=True)
class Glyph:
    """A character in a font, drawn: `(SIDE, SIDE)` uint8, white on black."""

    character: Character
    font: Font
    pixels: np.ndarray

    @property
    def name(self) -> str:
        """The name of its picture."""
        return f"{self.font.name}/{ord(self.character.text):04x}.png"

    @property
    def pair(self) -> tuple[str, str]:
        """Character and style; fonts of the same style share it."""
        return self.character.text, self.font.style

    @property
    def attributes(self) -> dict[str, str]:
        """What its caption says, part by part."""
        letter = self.character.letter
        of_character = (letter.lower(), "capital" if letter.isupper() else "small", self.character.accent)
        of_style = (self.font.family, self.font.weight, self.font.slant)
        return dict(zip(CHARACTER + STYLE, of_character + of_style, strict=True))

    @property
    def captions(self) -> list[str]:
        """Three sentences, such as "a bold serif small letter e with acute"."""
        style, name = self.font.style, self.character.name
        article = "an" if style.startswith("italic") else "a"
        return [f"{article} {style} {name}", f"{name}, {style}", f"the {name} in {style}"]


def draw_glyphs(folder: Path) -> dict:
    """Draw all glyphs into `folder`, as pictures of a user's own are copied there; returns their manifest.

    Raises:
        BadInput: matplotlib is not installed.
    """
    glyphs, left_out = distinct_glyphs(fonts_folder())
    splits = split_glyphs(glyphs)
    with tempfile.TemporaryDirectory() as temporary:
        drawn = Path(temporary) / GLYPHS
        for font in {glyph.font.name for glyph in glyphs}:
            (drawn / font).mkdir(parents=True)
        for glyph in glyphs:
            Image.fromarray(glyph.pixels).save(drawn / glyph.name)
        _write_metadata(drawn / "metadata.csv", glyphs, splits)
        manifest = copy_own_pictures(find_own_pictures("folder", drawn), drawn, folder)
    return {
        **manifest,
        "origin": "the fonts that matplotlib ships, drawn by Pillow",
        "licence": LICENCE,
        "caption_subject": "printed",
        "compositions": {"character": CHARACTER, "style": STYLE},
        "not_drawn": left_out,
    }


def fonts_folder() -> Path:
    """Where matplotlib keeps its fonts; it is not imported, which would take half a second.

    Raises:
        BadInput: it is not installed.
    """
    package = importlib.util.find_spec("matplotlib")
    if package is None or package.origin is None:
        raise BadInput(f"matplotlib is not installed; the image source `{GLYPHS}` needs it. Run `make setup`")
    return Path(package.origin).parent / "mpl-data/fonts/ttf"


def fonts() -> list[Font]:
    """All fonts that are drawn."""
    found = []
    for (weight, slant), endings in STYLES.items():
        for (name, family), ending in zip(FAMILIES.items(), endings, strict=True):
            found.append(Font(name + ending, family, weight, slant))
    return found + [Font(name, *style) for name, style in UNACCENTED.items()]


def characters() -> list[Character]:
    """The letters A to Z and a to z, and those that are one of them with accents, in Unicode's order."""
    found = []
    for text in map(chr, range(sys.maxunicode + 1)):
        letter, *accents = list(unicodedata.normalize("NFD", text))
        name = unicodedata.name(text, "")
        is_latin = letter.isascii() and letter.isalpha() and name.startswith("LATIN ")  # the sign of kelvin becomes K
        if is_latin and all(map(unicodedata.combining, accents)):
            found.append(Character(text, name.removeprefix("LATIN ").lower()))
    return found


def distinct_glyphs(folder: Path) -> tuple[list[Glyph], dict[str, int]]:
    """Every glyph that is like no other of its font; and how many are left out, by the reason."""
    glyphs: list[Glyph] = []
    left_out = dict.fromkeys((MISSING, TWICE), 0)
    everything = characters()
    for font in fonts():
        face = ImageFont.truetype(folder / f"{font.name}.ttf", FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
        missing = drawn("\uffff", face)
        wanted = [each for each in everything if font.name not in UNACCENTED or each.accent == "none"]
        pictures = {character: drawn(character.text, face) for character in wanted}
        equal = Counter(pixels.tobytes() for pixels in pictures.values())
        for character, pixels in pictures.items():
            if not pixels.any() or np.array_equal(pixels, missing):
                left_out[MISSING] += 1
            elif equal[pixels.tobytes()] > 1:
                left_out[TWICE] += 1
            else:
                glyphs.append(Glyph(character, font, pixels))
    return glyphs, left_out


def drawn(text: str, face: ImageFont.FreeTypeFont) -> np.ndarray:
    """A character on the baseline, in the middle of the row: `(SIDE, SIDE)` uint8."""
    left, _, right, _ = face.getbbox(text, anchor="ls")
    picture = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(picture).text((round((SIDE - right - left) / 2), BASELINE), text, 255, face, anchor="ls")
    return np.asarray(picture)


def split_glyphs(glyphs: Sequence[Glyph]) -> list[str]:
    """The split of each glyph.

    Unseen compositions go to the test split: all pictures of a pair of character and style. Of the others, some
    pictures validate, and some test that have a twin in training, the same character and style in another font. Every
    character and every style stays in training.
    """
    random = np.random.default_rng(SEED)
    of_pair: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, glyph in enumerate(glyphs):
        of_pair[glyph.pair].append(number)
    left = Counter(glyph.character for glyph in glyphs)
    splits = ["train"] * len(glyphs)

    def hold_out(numbers: Sequence[int], split: str) -> bool:
        character = glyphs[numbers[0]].character
        if left[character] - len(numbers) < FEWEST:
            return False
        left[character] -= len(numbers)
        for number in numbers:
            splits[number] = split
        return True

    def draw(groups: Sequence[list[int]], share: float, split: str) -> None:
        """Hold out a share of the groups of each letter, at least one where there are any."""
        of_letter: dict[str, list[list[int]]] = defaultdict(list)
        for group in groups:
            of_letter[glyphs[group[0]].character.letter].append(group)
        for own in of_letter.values():
            wanted = max(1, round(share * len(own)))
            for place in random.permutation(len(own)):
                wanted -= wanted > 0 and hold_out(own[place], split)

    draw(list(of_pair.values()), UNSEEN, "test")
    kept = [numbers for numbers in of_pair.values() if splits[numbers[0]] == "train"]
    draw([numbers[:1] for numbers in kept if len(numbers) > 1], HELD_OUT, "test")
    draw([[number] for numbers in kept for number in numbers if splits[number] == "train"], HELD_OUT, "validation")
    return splits


def _write_metadata(path: Path, glyphs: Sequence[Glyph], splits: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(next(_rows(glyphs[0], splits[0]))))
        writer.writeheader()
        for glyph, split in zip(glyphs, splits, strict=True):
            writer.writerows(_rows(glyph, split))


def _rows(glyph: Glyph, split: str) -> Iterator[dict[str, str]]:
    """A row for each caption of a glyph."""
    said = {f"{ATTRIBUTE}{name}": value for name, value in glyph.attributes.items()}
    for caption in glyph.captions:
        yield {"file_name": glyph.name, "label": glyph.character.letter, "split": split, "caption": caption, **said}
