"""Captions for class names, over a small word vocabulary.

Some templates are used in training, others are held out: a model that understands the words follows both.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quartet.artifacts.errors import BadInput

# The held-out templates use only words from the training templates: just the sentences are new.
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
# By subject, a word for what a picture shows and a phrase for how it was made; `_PARAPHRASE` is for other subjects.
_PARAPHRASES = {
    "handwritten": {"thing": "digit", "manner": "written by hand"},
    "photographed": {"thing": "object", "manner": "seen by a camera"},
}
_PARAPHRASE = {"thing": "object", "manner": "shown in a picture"}
EMPTY, START = 0, 1  # word ids: padding, and the start token of every caption (only the start token: no caption)
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# "seven" and "7" are interchangeable in prompts, whichever of them the class names use.
_SYNONYMS = {str(digit): word for digit, word in enumerate(_NUMBER_WORDS)}
_SYNONYMS |= {word: digit for digit, word in _SYNONYMS.items()}


class UnknownWordError(BadInput):
    """A prompt has a word that is not in the model's vocabulary."""


@dataclass(frozen=True)
class Captioner:
    """Makes captions for classes, and turns captions into word ids of the vocabulary that a model was trained with."""

    classes: tuple[str, ...]
    subject: str

    @property
    def words(self) -> list[str]:
        """The vocabulary; a word's id is its index + 2."""
        captions = [self.caption(label, template) for label in range(len(self.classes)) for template in TEMPLATES]
        return sorted({word for caption in captions for word in split_words(caption)})

    @property
    def distinguishing_words(self) -> list[int]:
        """Ids of the words that tell classes apart: in the names of some classes but not of all, and in no template.

        Raises:
            ValueError: there are none.
        """
        names = [set(split_words(name)) for name in self.classes]
        in_templates = {word for template in TEMPLATES for word in split_words(self._filled(template, name=""))}
        distinguishing = names[0].union(*names) - names[0].intersection(*names) - in_templates
        if not distinguishing:
            raise ValueError(
                f"no word tells the classes {', '.join(map(repr, self.classes))} apart, so a matcher has nothing to "
                "learn: rename them or set train_diffusion.matcher to false"
            )
        return [number + 2 for number, word in enumerate(self.words) if word in distinguishing]

    @property
    def vocabulary_size(self) -> int:
        """The number of word ids: the words, padding and the start token."""
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
        """Word ids `(captions, longest)` int64; each row starts with the start token and is padded.

        Raises:
            UnknownWordError: a word is not in the vocabulary; the message lists similar ones.
            BadInput: a caption has no words, or more than any caption of a template.
        """
        ids = {word: number + 2 for number, word in enumerate(self.words)}
        longest, rows = self.longest, []
        for caption in captions:
            row, words = [START], split_words(caption)
            if not words:
                raise BadInput(f"{caption!r} has no words; the model knows {', '.join(sorted(ids)[:20])}, …")
            for word in words:
                word = word if word in ids else _SYNONYMS.get(word, word)
                if word not in ids:
                    near = _near(word, ids)
                    known = f"; did you mean {', '.join(near)}?" if near else ""
                    raise UnknownWordError(
                        f"{caption!r}: unknown word {word!r}{known}; the model draws {', '.join(self.classes[:50])}"
                    )
                row.append(ids[word])
            if len(row) > longest:
                raise BadInput(f"{caption!r}: {len(row) - 1} words; the model reads at most {longest - 1}")
            rows.append(row + [EMPTY] * (longest - len(row)))
        return torch.tensor(rows)

    @property
    def longest(self) -> int:
        """The number of words in the longest caption of any template, including the start token."""
        everything = TEMPLATES + UNSEEN_TEMPLATES
        captions = (self.caption(label, template) for label in range(len(self.classes)) for template in everything)
        return 1 + max(len(split_words(caption)) for caption in captions)


def _near(word: str, known: Iterable[str]) -> list[str]:
    """Known words that look like `word`; very short ones, such as `a`, look like too many."""
    return difflib.get_close_matches(word, [each for each in known if len(each) > 2], n=5, cutoff=0.5)


def split_words(caption: str) -> list[str]:
    """The words of a caption in lower case, without punctuation except hyphens inside words."""
    characters = unicodedata.normalize("NFKC", caption).lower()
    # Letters, numbers, and combining marks, which belong to letters in many scripts.
    kept = "".join(c if c == "-" or unicodedata.category(c)[0] in "LNM" else " " for c in characters)
    return [word for part in kept.split() if (word := part.strip("-"))]


def captioner(info: Mapping) -> Captioner:
    """The captioner for the images that `info.json` describes.

    Raises:
        ValueError: a class name has no words, or two have the same words.
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
