"""Turn raw text into three splits, as plain text and as streams of tokens (`windows.py` reads them)."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quartet.artifacts.checksums import sha256_of_folder
from quartet.artifacts.writing import atomic_path, read_json, write_json, write_text
from quartet.datasets.splits import SPLITS
from quartet.datasets.tokenizers import encoded_lines, train_tokenizer
from quartet.language.reading import count_characters, text_chunks
from quartet.language.settings import PreprocessText

TEST, VALIDATION = 0.10, 0.05  # share of the whole text, and share of the rest
MIN_CHARACTERS = 100  # the fewest characters in a split


def split_text(source: Path, how: str, seed: int, folder: Path) -> None:
    """Write `{train,validation,test}.txt`: hold out the end (`tail`) or random whole passages (`passages`)."""
    if how == "tail":
        _split_tail(source, folder)
    else:
        for name, text in _split_passages("".join(text_chunks(source)), seed).items():
            write_text(folder / f"{name}.txt", text)


def _split_tail(source: Path, folder: Path) -> None:
    """Read the text as a stream, since it may not fit in memory."""
    length = count_characters(source)
    test_from = length - round(length * TEST)
    validation_from = test_from - round(test_from * VALIDATION)
    borders = {"train": (0, validation_from), "validation": (validation_from, test_from), "test": (test_from, length)}
    for name, (start, end) in borders.items():
        place = 0
        with atomic_path(folder / f"{name}.txt") as temporary, temporary.open("wb") as file:
            for chunk in text_chunks(source):
                file.write(chunk[max(0, start - place) : max(0, end - place)].encode())
                place += len(chunk)


def _split_passages(text: str, seed: int) -> dict[str, str]:
    passages = text.rstrip("\n").split("\n\n")
    order = list(range(len(passages)))
    random.Random(seed).shuffle(order)
    tests = round(len(order) * TEST)
    validations = round((len(order) - tests) * VALIDATION)
    parts = {
        "test": order[:tests],
        "validation": order[tests : tests + validations],
        "train": order[tests + validations :],
    }
    return {name: "\n\n".join(passages[i] for i in sorted(part)) + "\n" for name, part in parts.items()}


def prepare_text(raw: Path, folder: Path, settings: PreprocessText) -> dict:
    """Split the text, fit the tokenizer to the training split, encode; returns the content of `info.json`.

    Raises:
        ValueError: the text is too short for three splits.
    """
    manifest = read_json(raw / "manifest.json")
    split_text(raw / "text.txt", manifest["split"], settings.split_seed, folder)
    characters = {}
    for name in SPLITS:
        try:
            characters[name] = count_characters(folder / f"{name}.txt")
        except ValueError as error:
            raise ValueError(f"{raw / 'text.txt'}: its {name} split holds only white space") from error
        if characters[name] < MIN_CHARACTERS:
            raise ValueError(
                f"{raw / 'text.txt'}: its {name} split has {characters[name]} characters; "
                f"at least {MIN_CHARACTERS} are needed"
            )
    tokenizer = train_tokenizer(settings.tokenizer, lines_of(folder / "train.txt"), settings.vocabulary_size)
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    counts = {}
    for name in SPLITS:
        text, tokens = folder / f"{name}.txt", 0
        with atomic_path(folder / f"{name}.bin") as temporary, temporary.open("wb") as file:
            for encoded in encoded_lines(tokenizer, lines_of(text), dtype):
                file.write(encoded.tobytes())
                tokens += len(encoded)
        counts[name] = {"bytes": text.stat().st_size, "characters": characters[name], "tokens": tokens}
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    info = {
        "source": manifest["source"],
        "tokenizer": settings.tokenizer,
        "vocabulary_size": tokenizer.get_vocab_size(),
        "dtype": np.dtype(dtype).name,
        "counts": counts,
        "sha256": sha256_of_folder(folder),
    }
    write_json(folder / "info.json", info)
    return info


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text file, with their line endings unchanged."""
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from file
