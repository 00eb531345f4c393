"""Captions for class names, over a small word vocabulary.

Some templates train, others are held out: a model that has understood the words follows both.
"""

import difflib
import re
from dataclasses import dataclass

import torch
from torch import Tensor

# The held-out templates use no word that the training templates lack: what is new is the sentence.
TEMPLATES = (
    "a {subject} {name}",
    "a picture of a {name}",
    "the {name}",
    "please draw a {name}",
    "{name}, {subject}",
    "an image of the {subject} {name}",
    "{name}",
)
UNSEEN_TEMPLATES = (
    "a {name}",
    "please draw the {subject} {name}",
    "an image of a {name}, {subject}",
    "the picture of the {name}",
)
EMPTY, SPECIAL = 0, 1  # word ids: padding, and the mark that starts every caption (alone: no caption)
_WORD = re.compile(r"[\w-]+")


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
    def vocabulary_size(self) -> int:
        """Number of word ids: the words, padding and the starting mark."""
        return len(self.words) + 2

    def caption(self, label: int, template: str) -> str:
        """The caption of a class, such as "a handwritten seven"."""
        return template.format(subject=self.subject, name=self.classes[label])

    def table(self, templates: tuple[str, ...]) -> Tensor:
        """Word ids of every class in every template: `(classes, templates, words)` int64."""
        captions = [self.caption(label, template) for label in range(len(self.classes)) for template in templates]
        return self.encode(captions).view(len(self.classes), len(templates), -1)

    def encode(self, captions: list[str]) -> Tensor:
        """`(captions, words)` int64, each row started by the mark and padded to the vocabulary's longest caption.

        Raises:
            UnknownWordError: a word is not in the vocabulary; near ones are listed.
        """
        ids = {word: number + 2 for number, word in enumerate(self.words)}
        rows = []
        for caption in captions:
            row = [SPECIAL]
            for word in split_words(caption):
                if word not in ids:
                    near = difflib.get_close_matches(word, ids, n=5, cutoff=0.5) or sorted(ids)[:20]
                    raise UnknownWordError(f"{caption!r}: unknown word {word!r}; the model knows {', '.join(near)}, …")
                row.append(ids[word])
            rows.append(row)
        length = max(self.longest, *(len(row) for row in rows))
        return torch.tensor([row + [EMPTY] * (length - len(row)) for row in rows])

    @property
    def longest(self) -> int:
        """Words of the longest caption of any template, the starting mark included."""
        everything = TEMPLATES + UNSEEN_TEMPLATES
        captions = (self.caption(label, template) for label in range(len(self.classes)) for template in everything)
        return 1 + max(len(split_words(caption)) for caption in captions)


def split_words(caption: str) -> list[str]:
    """The words of a caption, in lower case, without punctuation."""
    return _WORD.findall(caption.lower())


def captioner(info: dict) -> Captioner:
    """The captioner for the images that `info.json` describes."""
    return Captioner(tuple(info["classes"]), info["caption_subject"])
