"""A user's texts as documents: a file is one, a folder has one per file, JSON lines have one per row."""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quartet.artifacts.errors import BadInput, listed
from quartet.datasets.reading.json_lines import json_objects
from quartet.datasets.reading.text_files import PACKED, is_utf8, text_chunks
from quartet.datasets.splits import SPLITS, split_name

KINDS = ("file", "folder", "jsonl")
ENDINGS = (".txt", ".md")  # of the files of a folder that are read
_READ = "files that are read end in .txt or .md, maybe packed as .gz or .zst"


@dataclasses.dataclass(frozen=True)
class Document:
    """A text in pieces, which can be read once; `split` is None where the source does not say."""

    name: str
    split: str | None
    chunks: Iterable[str]


@dataclasses.dataclass(frozen=True)
class TextFolder:
    """The text files of a folder by relative path, sorted, each with its split; and what there is to say about others.

    Attributes:
        files: the paths, `/` on every system.
        left_out: files that are not read, by reason.
        notes: how names were understood, where they could mean something else.
    """

    files: Mapping[str, str | None]
    left_out: dict[str, list[str]]
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class DocumentIndex:
    """What is known of all documents of a source without their texts, in the order of the source.

    Attributes:
        names: what messages call each.
        splits: `train`, `validation` or `test` where the source says so.
        contents: `(documents,)` checksums.
        blank: `(documents,)` whether a document holds only white space; such a document is left out.
        characters: of all documents together.
    """

    names: Sequence[str]
    splits: Sequence[str | None]
    contents: np.ndarray
    blank: np.ndarray
    characters: int

    def left_out(self) -> dict[str, list[str]]:
        """The documents that are not used, by reason."""
        blank = [self.names[number] for number in np.flatnonzero(self.blank).tolist()]
        return {"holds no text": blank} if blank else {}


def read_documents(kind: str, path: Path) -> Iterator[Document]:
    """The documents of `file:PATH`, `folder:PATH` or `jsonl:PATH`, of which no more than a piece is in memory.

    Raises:
        BadInput: the source is missing or malformed. Reading a document's pieces raises it for that document.
    """
    if kind == "file":
        yield Document(path.name, None, text_chunks(path))
    elif kind == "folder":
        for name, split in list_text_files(path).files.items():
            yield Document(name, split, text_chunks(path / name))
    else:
        for row, record in json_objects(path):
            yield Document(f"row {row}", *_split_and_text(path, row, record))


def index_documents(kind: str, path: Path) -> DocumentIndex:
    """Read all documents once.

    Raises:
        BadInput: the source is missing or malformed, or holds no text; the message names all files that cannot be read.
    """
    names, splits, errors = [], [], []
    contents, blank, characters = bytearray(), bytearray(), 0
    for document in read_documents(kind, path):
        digest, empty = hashlib.blake2b(digest_size=16), True
        try:
            for chunk in document.chunks:
                digest.update(chunk.encode())
                characters += len(chunk)
                empty = empty and not chunk.strip()
        except BadInput as error:
            errors.append(str(error))
        names.append(document.name)
        splits.append(document.split)
        contents += digest.digest()
        blank.append(empty)
    if errors:
        raise BadInput(listed(errors, "\n"))
    if all(blank):
        raise BadInput(f"{path}: holds no text")
    return DocumentIndex(
        names, splits, np.frombuffer(contents, "S16"), np.frombuffer(blank, np.uint8).astype(bool), characters
    )


def list_text_files(folder: Path) -> TextFolder:
    """The `.txt` and `.md` files below a folder, packed ones too, and the splits that their names say.

    Files `train.txt`, `valid.txt` and `test.txt` (any name of a split, also after a dot, as `ptb.train.txt`), or
    folders `train`, `valid` and `test`, are the source's own splits; anything else beside them is left out.

    Raises:
        BadInput: there is no such folder or no text in it, or its splits are one folder further down.
    """
    texts, others = _files_of(folder)
    _refuse_splits_below(folder, texts)
    left_out = {"ends in neither .txt nor .md": others} if others else {}
    splits = {path: _split_of(path) for path in texts}
    inside = {path: split for path, split in splits.items() if split}
    outside = [path for path, split in splits.items() if not split]
    if not (inside and outside):
        return TextFolder(splits, left_out, [])
    if "train" in inside.values() and len(set(inside.values())) > 1:
        return TextFolder(inside, {**left_out, "beside the splits, in none of them": outside}, [])
    note = f"{listed(list(inside))}: documents like the others, not splits; own splits are train and at least one other"
    return TextFolder(dict.fromkeys(texts), left_out, [note])


def _files_of(folder: Path) -> tuple[list[str], list[str]]:
    """The text files below a folder, and the others; hidden files do not count."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: {'is a file; give file:PATH' if folder.is_file() else 'no such folder'}")
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    found = sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
    if wrong := [ascii(path) for path in found if not is_utf8(path)]:
        raise BadInput(f"{folder}: names that are not valid UTF-8; rename {listed(wrong)}")
    texts = [path for path in found if Path(_unpacked_name(path)).suffix.lower() in ENDINGS]
    others = sorted(set(found) - set(texts))
    if not texts:
        what = f"its files are {listed(others)}" if others else "it holds no file"
        raise BadInput(f"{folder}: has no text file; {_READ}; {what}")
    return texts, others


def _unpacked_name(path: str) -> str:
    return str(Path(path).with_suffix("")) if Path(path).suffix.lower() in PACKED else path


def _split_of(path: str) -> str | None:
    """The split that the top folder or, without one, the file's name says."""
    top, _, below = path.partition("/")
    return split_name(top if below else Path(_unpacked_name(top)).stem.rpartition(".")[2])


def _refuse_splits_below(folder: Path, texts: Sequence[str]) -> None:
    tops = {path.partition("/")[0] for path in texts}
    below = {_split_of(path.partition("/")[2]) for path in texts if "/" in path}
    if len(tops) == 1 and None in map(split_name, tops) and below >= {"train", "test"}:
        raise BadInput(f"{folder}: its splits are in a folder of it; give folder:{folder / tops.pop()}")


def _split_and_text(path: Path, row: int, record: dict[str, Any]) -> tuple[str | None, Iterable[str]]:
    where = f"{path}: row {row}"
    if "text" not in record:
        raise BadInput(f"{where}: has no field text; its fields are {listed(list(record)) or 'none'}")
    text, split = record["text"] or "", record.get("split") or ""
    for name, value in (("text", text), ("split", split)):
        if not isinstance(value, str):
            raise BadInput(f"{where}: {name} is {type(value).__name__}, not text")
    if split.strip() and split_name(split) is None:
        raise BadInput(f"{where}: split {split!r} is none of {', '.join(SPLITS)}")
    if "\0" in text:
        place = text.index("\0") + 1
        raise BadInput(f"{where}: character {place} of its text is NUL, which no text holds; remove it")
    return split_name(split), (text,)
