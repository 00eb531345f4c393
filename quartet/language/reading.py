"""Read text files of any size in pieces, and check that they are UTF-8."""

import codecs
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 2**22  # bytes


def text_chunks(path: Path) -> Iterator[str]:
    """Yield UTF-8 text in pieces of a few megabytes, with line endings unchanged.

    Raises:
        ValueError: the file is missing or not UTF-8; the message gives the position of the wrong byte.
    """
    decoder, place = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                held_back = len(decoder.getstate()[0])  # bytes of a character that was cut by the end of the last piece
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
    """Count the characters of a text file.

    Raises:
        ValueError: the file is missing, blank or not UTF-8.
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
