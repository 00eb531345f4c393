"""Turn raw text into three splits, as plain text and as streams of tokens (`windows.py` reads them)."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from quartet.artifacts.errors import BadInput
from quartet.artifacts.shapes import MANIFEST
from quartet.artifacts.verification import described_files, read_described, restoring, write_described
from quartet.artifacts.writing import atomic_path, write_text
from quartet.datasets.reading.text_files import CHUNK
from quartet.datasets.splits import SPLITS, print_report
from quartet.datasets.tokenizers import encoded_lines
from quartet.language.preparation.fitting import fit_tokenizer
from quartet.language.preparation.pairs import prepare_pairs
from quartet.language.preparation.splitting import SplitDocuments, SplitPassages, split_documents, split_passages
from quartet.language.settings import PreprocessText
from quartet.language.sources.documents import index_documents

MIN_CHARACTERS = 100  # the fewest characters in a split
LONGEST = 2**16  # characters of a line that are encoded at once


def prepare_text(raw: Path, folder: Path, settings: PreprocessText) -> dict:
    """Split the text, fit the tokenizer to the training split, encode; returns the content of `info.json`.

    Raises:
        BadInput: the text is too short for three splits, or cannot be split as the settings say.
    """
    manifest = read_described(raw / "manifest.json", MANIFEST["text"], restoring(raw, "download@text"))
    source = manifest["source"]
    if manifest["split"] == "pairs":
        return prepare_pairs(source, raw / manifest["documents"], folder, settings)
    if settings.languages is not None:
        raise BadInput(f"{source}: preprocess.text.languages chooses the sides of pairs; set it to null")
    splits = _split(raw, manifest, settings)
    print_report(source, splits.report)
    characters = {name: _write(folder / f"{name}.txt", splits.text(name)) for name in SPLITS}
    refuse_small_splits(source, characters)
    fitted = fit_tokenizer(settings, lines_of(folder / "train.txt"), characters["train"])
    tokenizer = fitted.tokenizer
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    counts = {}
    for name in SPLITS:
        text, tokens = folder / f"{name}.txt", 0
        with atomic_path(folder / f"{name}.bin") as temporary, temporary.open("wb") as file:
            for encoded in encoded_lines(tokenizer, lines_of(text), dtype):
                file.write(encoded.tobytes())
                tokens += len(encoded)
        counts[name] = {"bytes": text.stat().st_size, "characters": characters[name], "tokens": tokens}
    write_text(folder / "tokenizer.json", fitted.content)
    info = {
        "source": source,
        **fitted.about,
        "vocabulary_size": tokenizer.get_vocab_size(),
        "dtype": np.dtype(dtype).name,
        "counts": counts,
        "splits": splits.report,
        **described_files(folder),
    }
    write_described(folder / "info.json", info)
    return info


def refuse_small_splits(source: str, characters: dict[str, int]) -> None:
    """Raise BadInput if a split has too few characters, of which `characters` gives the numbers."""
    for name, count in characters.items():
        if count < MIN_CHARACTERS:
            found = f"{count} characters" if count else "no text"
            raise BadInput(f"{source}: its {name} split has {found}; at least {MIN_CHARACTERS} characters are needed")


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text file, with their line endings; a very long line comes in parts.

    A part ends before a space where there is one, since a token hardly ever reaches beyond it.
    """
    rest = ""
    with path.open(encoding="utf-8", newline="") as file:
        while chunk := file.read(CHUNK):
            *lines, rest = (rest + chunk).split("\n")
            for line in lines:
                yield from _parts(line + "\n")
            *parts, rest = _parts(rest)
            yield from parts
    if rest:
        yield rest


def _parts(line: str) -> Iterator[str]:
    start = 0
    while len(line) - start > LONGEST:
        end = line.rfind(" ", start + 1, start + LONGEST)
        end = end if end > 0 else start + LONGEST
        yield line[start:end]
        start = end
    yield line[start:]


def _split(raw: Path, manifest: dict, settings: PreprocessText) -> SplitPassages | SplitDocuments:
    how, kind = manifest["split"], manifest["source"].partition(":")[0]
    try:
        if how == "passages":
            return split_passages(raw / "text.txt", settings)
        if how == "tail":
            kind, path = "file", raw / "text.txt"
        else:
            path = raw / manifest["documents"]
        return split_documents(kind, path, index_documents(kind, path), settings)
    except BadInput as error:
        raise BadInput(f"{manifest['source']}: {error}") from error


def _write(path: Path, chunks: Iterable[str]) -> int:
    """Write a text; returns the number of its characters, 0 if it is blank."""
    count, blank = 0, True
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for chunk in chunks:
            file.write(chunk.encode())
            count += len(chunk)
            blank = blank and not chunk.strip()
    return 0 if blank else count
