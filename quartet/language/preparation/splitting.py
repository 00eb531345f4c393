"""Split texts: whole documents or passages where there are enough of them; else the end is held out."""

import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from quartet.datasets.reading.text_files import read_text
from quartet.datasets.splits import SPLITS, Examples, describe_splits, own_splits, split_examples
from quartet.language.settings import PreprocessText
from quartet.language.sources.documents import Document, DocumentIndex, read_documents

TEST, VALIDATION = 0.10, 0.05  # share of the whole text, and share of the rest


@dataclasses.dataclass(frozen=True)
class SplitPassages:
    """The text of each split, and what there is to say about the splits."""

    texts: dict[str, str]
    report: dict

    def text(self, split: str) -> Iterator[str]:
        """The text of a split in pieces."""
        yield self.texts[split]


@dataclasses.dataclass(frozen=True)
class SplitDocuments:
    """Which documents of a source are in which split, or which part of the training text.

    Attributes:
        kind: of the source, as `read_documents` takes it.
        path: of the source.
        assigned: the split of each document; empty for those that are left out.
        borders: from which character to which a split reaches in the text of the documents of `train`, for those
            splits that are cut from it.
        report: what there is to say about the splits.
    """

    kind: str
    path: Path
    assigned: np.ndarray
    borders: dict[str, tuple[int, int]]
    report: dict

    def text(self, split: str) -> Iterator[str]:
        """The text of a split in pieces, read from the source."""
        if split not in self.borders:
            return self._running_text(split)
        return _between(self._running_text("train"), *self.borders[split])

    def cut(self, splits: Sequence[str]) -> "SplitDocuments":
        """Hold out the end of the text of `train` for these splits."""
        length = sum(map(len, self._running_text("train")))
        return dataclasses.replace(self, borders=_borders(length, splits))

    def _running_text(self, split: str) -> Iterator[str]:
        return running_text(read_documents(self.kind, self.path), self.assigned == split)


def split_passages(path: Path, settings: PreprocessText) -> SplitPassages:
    """Split a text that consists of independent passages between blank lines; each goes to one split.

    Raises:
        BadInput: the settings insist on own splits, which passages do not have.
    """
    passages = read_text(path).rstrip("\n").split("\n\n")
    names = [f"passage {number + 1}" for number in range(len(passages))]
    examples = Examples([0] * len(passages), [""], names, contents=passages)
    own_splits(examples, settings.splits)
    order = list(range(len(passages)))
    random.Random(settings.split_seed).shuffle(order)
    tests = round(len(order) * TEST)
    validations = round((len(order) - tests) * VALIDATION)
    drawn = {
        "train": sorted(order[tests + validations :]),
        "validation": sorted(order[tests : tests + validations]),
        "test": sorted(order[:tests]),
    }
    indices = {name: np.asarray(part, np.int64) for name, part in drawn.items()}
    return SplitPassages(
        {name: "\n\n".join(passages[index] for index in part) + "\n" for name, part in drawn.items()},
        describe_splits(examples, indices, ["test", "validation"]),
    )


def split_documents(kind: str, path: Path, index: DocumentIndex, settings: PreprocessText) -> SplitDocuments:
    """Split a user's documents by the rule of `datasets/splits.py`.

    Where there are too few to draw from, the end of the training text is held out instead.

    Args:
        kind: of the source, as `read_documents` takes it.
        path: of the source.
        index: of its documents.
        settings: how to split.

    Raises:
        BadInput: the documents cannot be split as the settings say.
    """
    used = np.flatnonzero(~index.blank)
    # In this order the same documents are drawn, however the source orders them.
    used = used[np.argsort(index.contents[used], kind="stable")]
    examples = _examples(index, used)
    own = own_splits(examples, settings.splits)
    missing = [name for name in ("test", "validation") if name not in own]
    assigned = np.full(len(index.names), "", dtype=object)
    if missing and len(np.unique(index.contents[used[own == "train"]])) <= len(missing):
        assigned[used] = own
        return SplitDocuments(kind, path, assigned, {}, _report_of_cut(examples, own, missing)).cut(missing)
    splits = split_examples(examples, settings.splits, VALIDATION, settings.split_seed, TEST)
    for name, chosen in splits.indices.items():
        assigned[used[chosen]] = name
    return SplitDocuments(kind, path, assigned, {}, splits.report)


def running_text(documents: Iterable[Document], chosen: np.ndarray) -> Iterator[str]:
    """The chosen documents one after another, with an empty line between two."""
    end = ""
    for document, use in zip(documents, chosen, strict=True):
        if use:
            if end:
                yield "\n" * (2 - len(end) + len(end.rstrip("\n")))
            for chunk in document.chunks:
                yield chunk
                end = (end + chunk)[-2:]


def _examples(index: DocumentIndex, used: np.ndarray) -> Examples:
    """The documents by number; only those with a copy have a content, since the rule keeps them all in memory."""
    contents = index.contents[used]
    _, inverse, counts = np.unique(contents, return_inverse=True, return_counts=True)
    return Examples(
        labels=np.zeros(len(used), np.int64),
        classes=[""],
        names=[index.names[number] for number in used],
        own=[index.splits[number] for number in used],
        contents=[
            bytes(content) if several else None for content, several in zip(contents, counts[inverse] > 1, strict=True)
        ],
    )


def _report_of_cut(examples: Examples, own: np.ndarray, missing: Sequence[str]) -> dict:
    """The report where splits are cut from the training text: its last document counts for each of them."""
    indices = {name: np.flatnonzero(own == name) for name in SPLITS}
    indices |= dict.fromkeys(missing, indices["train"][-1:])
    kept = " and ".join(name for name in SPLITS if name not in missing)
    test, validation = f"the last {TEST * 100:.0f} %", f"the last {VALIDATION * 100:.0f} %"
    origin = {
        ("test", "validation"): f"test is {test} of the text, validation {validation} of the rest",
        ("test",): f"{kept} as the source says, test is {test} of train",
        ("validation",): f"{kept} as the source says, validation is {validation} of train",
    }[tuple(missing)]
    return {**describe_splits(examples, indices, missing), "origin": origin}


def _borders(length: int, splits: Sequence[str]) -> dict[str, tuple[int, int]]:
    borders, end = {}, length
    for name, share in (("test", TEST), ("validation", VALIDATION)):
        if name in splits:
            borders[name] = (end - round(end * share), end)
            end = borders[name][0]
    return {**borders, "train": (0, end)}


def _between(chunks: Iterable[str], start: int, end: int) -> Iterator[str]:
    place = 0
    for chunk in chunks:
        yield chunk[max(0, start - place) : max(0, end - place)]
        place += len(chunk)
