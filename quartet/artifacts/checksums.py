"""Checksums: SHA-256 for our own records, and DVC's MD5, under which its cache stores files and folders."""

import hashlib
import json
from pathlib import Path


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def md5(path: Path) -> str:
    """MD5 of a file's bytes; some datasets publish only this checksum."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def dvc_md5(path: Path) -> str:
    """The checksum under which DVC stores a file or folder; that of a folder ends in `.dir`."""
    if path.is_file():
        return md5(path)
    listing = [{"md5": dvc_md5(file), "relpath": file.relative_to(path).as_posix()} for file in files_below(path)]
    listing.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, in one order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
