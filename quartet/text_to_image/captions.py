"""Captions for class names, over a small word vocabulary.

Some templates train, others are held out: a model that has understood the words follows both.
"""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# The held-out templates use no word that the training templates lack: what is new is the sentence.
TEMPLATES = (
    "a {subject} {name}",
    "a picture of a {name}",
    "the {name}",
    "please draw the {subject} {name}",
    "{name}, {subject}",
    "an image of the {subject} {name}",
    "{name}",
    "the {thing} {name}",
    "{name}, {manner}",
)
UNSEEN_TEMPLATES = (
    "a {name}",
    "please draw a {name}",
    "an image of a {name}, {subject}",
    "the picture of the {name}",
    "the {thing} {name}, {manner}",
)
# In other words: what a picture shows, and how it came about; the last for any other subject.
_PARAPHRASES = {
    "handwritten": {"thing": "digit", "manner": "written by hand"},
    "photographed": {"thing": "object", "manner": "seen by a camera"},
}
_PARAPHRASE = {"thing": "object", "manner": "shown in a picture"}
EMPTY, SPECIAL = 0, 1  # word ids: padding, and the mark that starts every caption (alone: no caption)
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# A model that was taught one of them is asked for the other all the same.
_SYNONYMS = {str(digit): word for digit, word in enumerate(_NUMBER_WORDS)}
_SYNONYMS |= {word: digit for digit, word in _SYNONYMS.items()}


class UnknownWordError(ValueError):
    """A prompt holds a word that the model was not trained on."""


@dataclass(frozen=True)
class Captioner:
    """Turns captions into word ids, with the classes and vocabulary that a model was trained with."""

    classes: tuple[str, ...]
    subject: str

    @property
    def words(self) -> list[str]:
        """The vocabulary; a word's id is its place + 2."""
        captions = [self.caption(label, template) for label in range(len(self.classes)) for template in TEMPLATES]
        return sorted({word for caption in captions for word in split_words(caption)})

    @property
    def telling_words(self) -> list[int]:
        """Ids of the words that some class has in its name and another has not, and that no template says of any class.

        Raises:
            ValueError: there are none.
        """
        names = [set(split_words(name)) for name in self.classes]
        of_any_class = {word for template in TEMPLATES for word in split_words(self._filled(template, name=""))}
        telling = names[0].union(*names) - names[0].intersection(*names) - of_any_class
        if not telling:
            raise ValueError(
                f"no word tells the classes {', '.join(map(repr, self.classes))} apart, so a matcher has nothing to "
                "learn: rename them or set train_diffusion.matcher to false"
            )
        return [number + 2 for number, word in enumerate(self.words) if word in telling]

    @property
    def vocabulary_size(self) -> int:
        """Number of word ids: the words, padding and the starting mark."""
        return len(self.words) + 2

    def caption(self, label: int, template: str) -> str:
        """The caption of a class, such as "a handwritten seven"."""
        return self._filled(template, self.classes[label])

    def _filled(self, template: str, name: str) -> str:
        return template.format(subject=self.subject, name=name, **_PARAPHRASES.get(self.subject, _PARAPHRASE))

    def table(self, templates: Sequence[str]) -> Tensor:
        """Word ids of every class in every template: `(classes, templates, words)` int64."""
        captions = [self.caption(label, template) for label in range(len(self.classes)) for template in templates]
        return self.encode(captions).view(len(self.classes), len(templates), -1)

    def encode(self, captions: list[str]) -> Tensor:
        """`(captions, longest)` int64, each row started by the mark and padded.

        Raises:
            UnknownWordError: a word is not in the vocabulary; near ones are listed.
            ValueError: a caption has no word, or more than the longest that the model was trained for.
        """
        ids = {word: number + 2 for number, word in enumerate(self.words)}
        longest, rows = self.longest, []
        for caption in captions:
            row, words = [SPECIAL], split_words(caption)
            if not words:
                raise ValueError(f"{caption!r} has no word; the model knows {', '.join(sorted(ids)[:20])}, …")
            for word in words:
                word = word if word in ids else _SYNONYMS.get(word, word)
                if word not in ids:
                    near = difflib.get_close_matches(word, ids, n=5, cutoff=0.5)
                    known = f"; near ones that the model knows: {', '.join(near)}" if near else ""
                    raise UnknownWordError(
                        f"{caption!r}: unknown word {word!r}{known}; it draws {', '.join(self.classes[:50])}"
                    )
                row.append(ids[word])
            if len(row) > longest:
                raise ValueError(f"{caption!r}: {len(row) - 1} words; the model reads at most {longest - 1}")
            rows.append(row + [EMPTY] * (longest - len(row)))
        return torch.tensor(rows)

    @property
    def longest(self) -> int:
        """Words of the longest caption of any template, the starting mark included."""
        everything = TEMPLATES + UNSEEN_TEMPLATES
        captions = (self.caption(label, template) for label in range(len(self.classes)) for template in everything)
        return 1 + max(len(split_words(caption)) for caption in captions)


def split_words(caption: str) -> list[str]:
    """The words of a caption, in lower case, without punctuation but for hyphens within them."""
    characters = unicodedata.normalize("NFKC", caption).lower()
    # Letters, numbers, and the marks that belong to letters in many scripts.
    kept = "".join(c if c == "-" or unicodedata.category(c)[0] in "LNM" else " " for c in characters)
    return [word for part in kept.split() if (word := part.strip("-"))]


def captioner(info: Mapping) -> Captioner:
    """The captioner for the images that `info.json` describes.

    Raises:
        ValueError: a class has no words, or two classes have the same ones.
    """
    names: dict[tuple[str, ...], str] = {}
    for name in info["classes"]:
        words = tuple(split_words(name))
        if not words:
            raise ValueError(f"class {name!r} has no letter or digit to make a caption of; rename it")
        if words in names:
            raise ValueError(f"classes {names[words]!r} and {name!r} have the same caption; rename one of them")
        names[words] = name
    return Captioner(tuple(info["classes"]), info["caption_subject"])
