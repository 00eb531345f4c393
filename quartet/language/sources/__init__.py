"""Where text comes from: each source writes `text.txt` and a manifest.

The manifest says how to split the text: `passages` (independent passages between blank lines; each goes to one split)
or `tail` (continuous text; the end is held out).
"""

import shutil
from pathlib import Path

from quartet.artifacts.checksums import sha256
from quartet.artifacts.fetching import Fetching, fetch
from quartet.artifacts.paths import user_path
from quartet.artifacts.writing import atomic_path, write_text
from quartet.language.reading import count_characters

_SHAKESPEARE = (
    "tinyshakespeare/input.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)


def download_text(source: str, fetching: Fetching, folder: Path) -> dict:
    """Write `folder/text.txt` from the setting `download.text` and return its manifest.

    Raises:
        FetchError: the source cannot be downloaded or is wrong.
        ValueError: a user's file is missing, empty or not UTF-8.
    """
    target = folder / "text.txt"
    if source == "docstrings":
        about = _docstrings(target)
    elif source == "tinyshakespeare":
        name, home, checksum = _SHAKESPEARE
        fetch(name, home, target, fetching, expected=checksum)
        about = {"origin": home, "licence": "public domain", "split": "tail"}
    else:
        about = _own_file(user_path(source.removeprefix("file:")), target)
    return {
        "source": source,
        **about,
        "checksums": {"text.txt": sha256(target)},
        "counts": {"characters": count_characters(target), "bytes": target.stat().st_size},
    }


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
    count_characters(source)  # checks the file before anything is written
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return {"origin": str(source.name), "licence": "the user's own", "split": "tail"}
