"""Where text comes from: each source writes its text and a manifest.

The manifest says how to split the text: `passages` (independent passages between blank lines; each goes to one split),
`tail` (continuous text; the end is held out), `documents` (each goes to one split) or `pairs` (of a source and its
translation). Documents and pairs are in the file or folder that the manifest names, other text is in `text.txt`.
"""

import json
import shutil
import tempfile
from pathlib import Path

from quartet.artifacts.checksums import sha256
from quartet.artifacts.errors import BadInput, listed
from quartet.artifacts.fetching import Fetching, fetch, sha256_unpacked
from quartet.artifacts.paths import user_path
from quartet.artifacts.writing import atomic_path, write_text
from quartet.datasets.reading.text_files import PACKED, text_chunks
from quartet.language.sources.documents import index_documents, list_text_files
from quartet.language.sources.pairs import pair_records, read_pairs

_SHAKESPEARE = (
    "tinyshakespeare/input.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)

# Captions of photographs (Elliott et al. 2016); the checksums are of the unpacked files.
_MULTI30K_HOME = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"
_MULTI30K = {
    "train.en.gz": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
    "train.de.gz": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
    "val.en.gz": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
    "val.de.gz": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
    "test_2016_flickr.en.gz": "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
    "test_2016_flickr.de.gz": "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
}


def download_text(source: str, fetching: Fetching, folder: Path) -> dict:
    """Write the text that the setting `download.text` names into `folder`; returns its manifest.

    Raises:
        FetchError: the source cannot be downloaded or is wrong.
        BadInput: a user's text is missing, empty or in an encoding that is not read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind, _, path = source.partition(":")
    if kind in ("folder", "jsonl"):
        copy = _copy_folder if kind == "folder" else _copy_json_lines
        return {"source": source, "licence": "the user's own", "split": "documents", **copy(user_path(path), folder)}
    if kind == "pairs":
        return {"source": source, "licence": "the user's own", **_copy_pairs(user_path(path), folder)}
    if kind == "multi30k":
        return {"source": source, **_multi30k(fetching, folder)}
    target = folder / "text.txt"
    if kind == "docstrings":
        about = _docstrings(target)
    elif kind == "tinyshakespeare":
        name, home, checksum = _SHAKESPEARE
        fetch(name, home, target, fetching, expected=checksum)
        about = {"origin": home, "licence": "public domain", "split": "tail"}
    else:
        about = _own_file(user_path(path), target)
    return {
        "source": source,
        **about,
        "checksums": {target.name: sha256(target)},
        "counts": {"characters": sum(map(len, text_chunks(target))), "bytes": target.stat().st_size},
    }


def _multi30k(fetching: Fetching, folder: Path) -> dict:
    with tempfile.TemporaryDirectory(dir=folder) as parts:
        for name, checksum in _MULTI30K.items():
            target = Path(parts, name)
            home, found = _MULTI30K_HOME + name, f"multi30k/{name}"
            fetch(found, home, target, fetching, expected=checksum, checksum_of=sha256_unpacked)
        about = _copy_pairs(Path(parts), folder)
    return {**about, "origin": _MULTI30K_HOME, "licence": "of its texts: research only, as Flickr30k"}


def _copy_pairs(source: Path, folder: Path) -> dict:
    """Write pairs in any form as JSON lines, once all of them are known to be readable."""
    pairs = read_pairs(source)
    left_out = {"not a parallel file": pairs.ignored} if pairs.ignored else {}
    _print_left_out(source, left_out)
    target = folder / "pairs.jsonl"
    lines = (json.dumps(record, ensure_ascii=False) for record in pair_records(pairs))
    write_text(target, "".join(f"{line}\n" for line in lines))
    return {
        "origin": source.name,
        "split": "pairs",
        "documents": target.name,
        **({"left_out": left_out} if left_out else {}),
        "checksums": {target.name: sha256(target)},
        "counts": {"pairs": len(pairs), "languages": list(pairs.texts)},
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
    """Write a file as plain UTF-8, however it is packed or marked."""
    blank = True
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        for chunk in text_chunks(source):
            file.write(chunk.encode())
            blank = blank and not chunk.strip()
        if blank:
            raise BadInput(f"{source}: holds no text")
    return {"origin": source.name, "licence": "the user's own", "split": "tail"}


def _copy_folder(source: Path, folder: Path) -> dict:
    """Copy the text files of a folder into `documents`, once all are known to be readable."""
    found, index = list_text_files(source), index_documents("folder", source)
    left_out = {**found.left_out, **index.left_out()}
    _print_left_out(source, left_out)
    for note in found.notes:
        print(f"{source}: {note}", flush=True)
    target = folder / "documents"
    for name in found.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    return {
        "origin": source.name,
        "documents": target.name,
        "left_out": left_out,
        "notes": found.notes,
        "checksums": {f"{target.name}/{name}": sha256(target / name) for name in found.files},
        "counts": {"documents": len(index.names), "characters": index.characters},
    }


def _copy_json_lines(source: Path, folder: Path) -> dict:
    """Copy a file of JSON lines once all of it is known to be readable."""
    index = index_documents("jsonl", source)
    _print_left_out(source, index.left_out())
    target = folder / ("documents.jsonl" + (source.suffix if source.suffix.lower() in PACKED else ""))
    shutil.copyfile(source, target)
    return {
        "origin": source.name,
        "documents": target.name,
        "left_out": index.left_out(),
        "checksums": {target.name: sha256(target)},
        "counts": {"documents": len(index.names), "characters": index.characters},
    }


def _print_left_out(source: Path, left_out: dict[str, list[str]]) -> None:
    for reason, names in left_out.items():
        print(f"{source}: ignored ({reason}): {listed(names)}", flush=True)
