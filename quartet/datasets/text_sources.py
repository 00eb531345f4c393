"""Where text comes from: each source writes `text.txt` and says what it is.

How a source is split stays with its text: `passages` (blank lines part independent passages; whole passages go to one
side) or `tail` (running text; the end is held out).
"""

import codecs
import shutil
from collections.abc import Iterator
from pathlib import Path

from quartet.artifacts.checksums import sha256
from quartet.artifacts.fetching import fetch
from quartet.artifacts.paths import own
from quartet.artifacts.writing import atomic_path, write_text
from quartet.params.sections import Download

_CHUNK = 2**22  # bytes
_SHAKESPEARE = (
    "tinyshakespeare/input.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)


def download_text(settings: Download, folder: Path) -> dict:
    """Write `folder/text.txt` and return its manifest.

    Raises:
        FetchError: the source cannot be had or is wrong.
        ValueError: a user's file is missing, empty or not UTF-8.
    """
    target = folder / "text.txt"
    if settings.text == "docstrings":
        about = _docstrings(target)
    elif settings.text == "tinyshakespeare":
        name, home, checksum = _SHAKESPEARE
        fetch(name, home, target, settings, expected=checksum)
        about = {"origin": home, "licence": "public domain", "split": "tail"}
    else:
        about = _own_file(own(settings.text.removeprefix("file:")), target)
    return {
        "source": settings.text,
        **about,
        "checksums": {"text.txt": sha256(target)},
        "counts": {"characters": count_characters(target), "bytes": target.stat().st_size},
    }


def text_chunks(path: Path) -> Iterator[str]:
    """UTF-8 text in pieces of a few megabytes, its line ends as they are: joined they are the text.

    Raises:
        ValueError: missing or not UTF-8, with the offending byte's position.
    """
    decoder, place = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                held_back = len(decoder.getstate()[0])  # the beginning of a character that the last piece cut
                try:
                    yield decoder.decode(piece)
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, place - held_back + error.start, error.object[error.start]) from error
                place += len(piece)
            if rest := decoder.getstate()[0]:
                raise _not_utf8(path, place - len(rest), rest[0])
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error


def count_characters(path: Path) -> int:
    """How many characters a text has.

    Raises:
        ValueError: missing, empty or not UTF-8.
    """
    count, empty = 0, True
    for chunk in text_chunks(path):
        count += len(chunk)
        empty = empty and not chunk.strip()
    if empty:
        raise ValueError(f"{path}: holds no text")
    return count


def _not_utf8(path: Path, place: int, byte: int) -> ValueError:
    return ValueError(
        f"{path}: byte {place} ({byte:#04x}) is not UTF-8; convert the file, for example with `iconv -t utf-8`"
    )


def _docstrings(target: Path) -> dict:
    from quartet.datasets.docstring_prose import docstring_prose

    prose = docstring_prose()
    write_text(target, "\n\n".join(text for _, text in prose.passages) + "\n")
    return {
        "origin": "docstrings of " + ", ".join(f"{name} {version}" for name, version in prose.versions.items()),
        "licence": "BSD-3-Clause",
        "split": "passages",
        "removed": {
            "what": "code, tables, directives, formulas, vendored packages, repeated sentences",
            "documented_objects": prose.objects_found,
            "objects_without_prose_left": prose.objects_found - len(prose.passages),
            "sentences_kept": prose.sentences_kept,
            "sentences_repeated": prose.sentences_repeated,
        },
    }


def _own_file(source: Path, target: Path) -> dict:
    count_characters(source)  # before anything is written
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return {"origin": str(source.name), "licence": "the user's own", "split": "tail"}
