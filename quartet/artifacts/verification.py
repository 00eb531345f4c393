"""Data that says its checksums is compared with them before it is used, so that damage is named, not trained on.

A file that describes others (`info.json`, `manifest.json`, `card.json`) has a `digest` of its own content, and under
`checksums` the SHA-256 of each file beside it. `read_described` compares both.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from quartet.artifacts import paths
from quartet.artifacts.checksums import files_below, sha256
from quartet.artifacts.json_reading import check_shape, shown
from quartet.artifacts.writing import read_json, write_json

DIGEST = "digest"
LARGE = 32 * 2**20  # bytes from which a checked file is remembered; smaller ones are read in a few milliseconds
REMEMBERED = 200  # files
CHECKSUMS = {str: str}


def write_described(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with a `digest` of its content."""
    plain = json.loads(json.dumps(content, allow_nan=False))  # as it will be read: names are text, tuples are lists
    write_json(path, {**plain, DIGEST: _digest(plain)})


def read_described(path: Path, shape: Any, remedy: str, *, unread: Collection[str] = ()) -> dict[str, Any]:
    """Read JSON that `write_described` wrote, and compare it and the files that it describes with their checksums.

    Args:
        path: of the file; those that it describes are below its folder.
        shape: what it must hold (`json_reading.py`).
        remedy: what to do about a damaged file, for the message.
        unread: files without their endings, such as `test`, which the caller does not read.

    Raises:
        ValueError: a file is missing, damaged or of another shape; the message names it.
    """
    content = read_sealed(path, shape, remedy)
    check_shape(content.get("checksums", {}), CHECKSUMS, f"{path}: checksums", remedy)
    for name, expected in content.get("checksums", {}).items():
        if Path(name).stem not in unread:
            _compare(path.parent / name, expected, remedy)
    return content


def check_file(path: Path, remedy: str) -> None:
    """Compare one file with the `info.json` beside it, if there is one; arguments and errors as of `read_described`."""
    described = path.with_name("info.json")
    if path.exists() and described.exists():
        expected = read_sealed(described, {}, remedy).get("checksums", {})
        check_shape(expected, CHECKSUMS, f"{described}: checksums", remedy)
        if path.name in expected:
            _compare(path, expected[path.name], remedy)


def read_sealed(path: Path, shape: Any, remedy: str) -> dict[str, Any]:
    """As `read_described`, without the files that it describes.

    A file without a digest, from an earlier version or by hand, is taken as it is.
    """
    content = read_json(path)
    found = {name: value for name, value in content.items() if name != DIGEST}
    check_shape(found, shape, path, remedy)
    if DIGEST in content and content[DIGEST] != _digest(found):
        raise ValueError(
            f"{path}: its content is not what was written: its digest says {shown(content[DIGEST])}, found "
            f"{_digest(found)}; {remedy}"
        )
    return found


def described_files(folder: Path) -> dict[str, Any]:
    """The entries `checksums`, of every file below a folder, and `sha256`, of all of them with their names."""
    checksums = {path.relative_to(folder).as_posix(): sha256(path) for path in files_below(folder)}
    listing = "".join(f"{name}\0{checksum}\n" for name, checksum in checksums.items())
    return {"checksums": checksums, "sha256": hashlib.sha256(listing.encode()).hexdigest()}


def restoring(folder: Path, stage: str) -> str:
    """What to do about damaged data in a folder that a stage writes, for a message."""
    return f"`dvc checkout --force {folder}` restores it, or `dvc repro --force {stage}` builds it again"


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _compare(path: Path, expected: str, remedy: str) -> None:
    """Raise ValueError if a file is not what was written; a large one that has not changed since is not read again."""
    try:
        about = path.stat()
        place = paths.verified() / f"{about.st_dev}-{about.st_ino}-{about.st_size}-{about.st_mtime_ns}"
        if about.st_size >= LARGE and _remembered(place) == expected.encode():
            return
        found = sha256(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}; {remedy}") from error
    if found != expected:
        raise ValueError(f"{path}: expected sha256 {expected}, found {found}: damaged since it was written; {remedy}")
    if about.st_size >= LARGE:
        _remember(place, expected)


def _remembered(place: Path) -> bytes:
    """The checksum in a note of what was compared; without a readable note, the file is read once more."""
    try:
        return place.read_bytes()
    except OSError:
        return b""


def _remember(place: Path, checksum: str) -> None:
    with contextlib.suppress(OSError):  # a full or read-only disk; or another process removes old notes too
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(checksum)  # a torn write is another checksum, so that the file is read once more
        for old in sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-REMEMBERED]:
            old.unlink(missing_ok=True)
