"""Text files as people have them: UTF-8 with or without a byte order mark, UTF-16 with one, packed or not."""

import codecs
import contextlib
import gzip
import shlex
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from quartet.artifacts.errors import BadInput

PACKED = (".gz", ".zst")
CHUNK = 2**22  # bytes
MUCH, LARGEST_RATIO = 2**26, 200  # bytes from which it counts how often a text is as large as it was packed
_SAMPLE = 2**16  # bytes from which an encoding is guessed
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
LONGEST_MARK = max(map(len, _MARKS))  # bytes
# The likely ones, the likeliest first, with the names that iconv knows them by.
_LIKELY = {
    "cp1252": "WINDOWS-1252",
    "cp1251": "WINDOWS-1251",
    "gb18030": "GB18030",
    "shift_jis": "SHIFT_JIS",
    "euc_kr": "EUC-KR",
    "big5": "BIG5",
    "utf_16_le": "UTF-16LE",
    "utf_16_be": "UTF-16BE",
}


def text_chunks(path: Path) -> Iterator[str]:
    """The text in pieces of a few megabytes, without a byte order mark, its line ends as they are.

    Raises:
        BadInput: the file cannot be read, is damaged, holds NUL characters or is in another encoding. The message
            gives the place of the first wrong byte, the likely encoding, and the command that converts the file.
    """
    with _unpacked(path) as file:
        head = file.read(LONGEST_MARK)  # a pipe can be opened and read only once
        mark, encoding = next(((mark, name) for mark, name in _MARKS.items() if head.startswith(mark)), (b"", "utf-8"))
        decoder, place = codecs.getincrementaldecoder(encoding)(), len(mark)
        packed = path.stat().st_size if path.suffix.lower() in PACKED else None
        piece = head[len(mark) :]
        piece += file.read(max(0, CHUNK - len(piece)))
        while piece:
            if packed is not None and place > MUCH and place > LARGEST_RATIO * packed:
                raise BadInput(
                    f"{path}: unpacks to more than {LARGEST_RATIO} times its size, as no text does; "
                    "if it is one, unpack it yourself and name the unpacked file"
                )
            undecoded = len(decoder.getstate()[0])  # the first bytes of a character that the last piece cut
            try:
                text = decoder.decode(piece)
            except UnicodeDecodeError as error:
                wrong, start = error.object[error.start], max(0, error.start - _SAMPLE)
                around = error.object[start : error.start + _SAMPLE]
                raise _wrong_encoding(path, place - undecoded + error.start, wrong, around) from error
            if "\0" in text:
                before = len(text[: text.index("\0")].encode(encoding))
                raise BadInput(
                    f"{path}: byte {place - undecoded + before} is NUL, which no text holds; "
                    "remove such bytes, or convert the file if it is UTF-16 without a byte order mark"
                )
            yield text
            place += len(piece)
            piece = file.read(CHUNK)
        if rest := decoder.getstate()[0]:
            raise _wrong_encoding(path, place - len(rest), rest[0], rest)


def read_text(path: Path) -> str:
    """The whole text; raises as `text_chunks` does."""
    return "".join(text_chunks(path))


def lines_of(path: Path) -> Iterator[str]:
    """Line by line, with the line ends; raises as `text_chunks` does."""
    rest = ""
    for chunk in text_chunks(path):
        *lines, rest = (rest + chunk).split("\n")
        yield from (line + "\n" for line in lines)
    if rest:
        yield rest


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8, which half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    try:
        with _opened(path) as file:
            yield file
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise BadInput(f"{path}: is a folder, not a file") from error
    except (OSError, EOFError, zlib.error) as error:  # a damaged archive, too
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path}: cannot be read: {reason}") from error


def _opened(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix.lower() == ".zst":
        import pyarrow

        return cast("IO[bytes]", pyarrow.CompressedInputStream(pyarrow.PythonFile(path.open("rb")), "zstd"))
    return path.open("rb")


def _wrong_encoding(path: Path, place: int, byte: int, text_around: bytes) -> BadInput:
    message = f"{path}: byte {place} ({byte:#04x}) is not UTF-8"
    likely = likely_encoding(text_around)
    if likely is None:
        return BadInput(f"{message}; convert the file to UTF-8: iconv -f ITS-ENCODING -t UTF-8 {path} > NEW-FILE")
    old, new = shlex.quote(str(path)), shlex.quote(str(path.with_stem(f"{path.stem}-utf8")))
    packed = " after unpacking it" if path.suffix.lower() in PACKED else ""
    return BadInput(
        f"{message} but probably {likely}; convert the file{packed}: iconv -f {likely} -t UTF-8 {old} > {new}"
    )


def likely_encoding(text: bytes) -> str | None:
    """The encoding that some bytes of text are probably in, by the name that iconv knows; None where none fits."""
    import charset_normalizer

    best = charset_normalizer.from_bytes(text, cp_isolation=list(_LIKELY), threshold=0.5).best()
    if best is None:
        return None
    # Several may decode these bytes to the same text; the commonest is then the likeliest.
    return next((name for encoding, name in _LIKELY.items() if encoding in best.could_be_from_charset), None)
