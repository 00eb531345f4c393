"""Captions as people write them, in sub-word tokens that are learned from the training captions.

The tokens are bytes and their frequent sequences (BPE: Sennrich et al. 2016; of bytes: Radford et al. 2019), so that
any text can be read: words that no training caption has are spelled by pieces. Letters count as small, as in CLIP
(Radford et al. 2021). The list of merges is all that the tokens need, and a model's card has it.
"""

import csv
import dataclasses
import functools
import json
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor

from quartet.artifacts.errors import BadInput
from quartet.text_to_image.captions.templates import EMPTY, START, TEMPLATES, Captioner

VOCABULARY = 4096  # most tokens
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())  # a printable letter for each byte
NAMED = 80  # characters of a caption in a message
SPECIAL = 2  # ids before those of the tokens: `EMPTY` and `START`


@dataclasses.dataclass(frozen=True)
class OpenCaptions:
    """Turns any text into the ids of a model's tokens.

    Attributes:
        merges: the pairs of tokens that are joined, in this order, each as `left right`.
        longest: the most ids that a caption may have, including the start token; words that are spelled need several.
    """

    merges: tuple[str, ...]
    longest: int

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the merges."""
        pairs = [(left, right) for left, right in (merge.split(" ") for merge in self.merges)]
        tokens = dict.fromkeys([*LETTERS, *("".join(pair) for pair in pairs)])
        return _byte_level(models.BPE({token: number for number, token in enumerate(tokens)}, pairs))

    @property
    def vocabulary_size(self) -> int:
        """The number of ids: the tokens, padding and the start token."""
        return self.tokenizer.get_vocab_size() + SPECIAL

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Token ids `(captions, longest)` int64; each row starts with the start token and is padded.

        Raises:
            BadInput: a caption is empty or has more tokens than the model reads.
        """
        rows = self._ids(captions)
        for caption, row in zip(captions, rows, strict=True):
            if not caption.strip():
                raise BadInput(f"{caption!r} has no words; say what to draw")
            if len(row) >= self.longest:
                said = textwrap.shorten(caption, NAMED, placeholder=" …")
                raise BadInput(
                    f"{said!r}: {len(row)} tokens; the model reads at most {self.longest - 1} "
                    "(train_diffusion.longest_caption)"
                )
        return _padded(rows, self.longest)

    def encode_cut(self, captions: Sequence[str]) -> tuple[Tensor, int]:
        """As `encode`, but captions that are too long are cut; also returns how many.

        Rows are no longer than the longest caption needs.
        """
        rows = self._ids(captions)
        kept = [row[: self.longest - 1] for row in rows]
        return _padded(kept, 1 + max(map(len, kept))), sum(len(row) >= self.longest for row in rows)

    def _ids(self, captions: Sequence[str]) -> list[list[int]]:
        encoded = self.tokenizer.encode_batch_fast(list(map(plain, captions)))
        return [[number + SPECIAL for number in each.ids] for each in encoded]


def _padded(rows: Iterable[list[int]], longest: int) -> Tensor:
    return torch.tensor([[START, *row, *[EMPTY] * (longest - 1 - len(row))] for row in rows])


def plain(caption: str) -> str:
    """A caption in small letters and Unicode's composed form, with one space before each word, also the first."""
    small = unicodedata.normalize("NFKC", caption).lower()
    return "".join(f" {word}" for word in unicodedata.normalize("NFC", small).split())


def learn_captions(captions: Sequence[str], longest: int) -> OpenCaptions:
    """The tokens of some training captions, of which at most `longest` are read of each."""
    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=LETTERS, show_progress=False)
    tokenizer.train_from_iterator(map(plain, captions), trainer)
    merges = tuple(" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"])
    return OpenCaptions(merges, 1 + longest)


def read_captions(folder: Path, split: str, info: Mapping, labels: Sequence[int]) -> list[list[str]]:
    """The captions of each prepared picture of a split; one that has none gets those of its class.

    Args:
        folder: of the prepared pictures.
        split: `train`, `validation` or `test`.
        info: their `info.json`.
        labels: of the pictures of this split.
    """
    classes = Captioner(tuple(info["classes"]), info["caption_subject"])
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        said = [row["caption"].splitlines() for row in csv.DictReader(file)]
    return [
        captions or [classes.caption(label, template) for template in TEMPLATES]
        for captions, label in zip(said, labels, strict=True)
    ]


def is_open(info: Mapping) -> bool:
    """Whether the pictures that `info.json` or a model's card describes have captions of their own."""
    return "captions" in info


def _byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer
