"""Text as the pipeline keeps it: three splits as plain text and as token streams read by memory map.

`data/processed/text/` holds `{train,validation,test}.{txt,bin}`, `tokenizer.json` and `info.json`.
"""

import random
from pathlib import Path

import numpy as np

from quartet.artifacts.checksums import sha256_of_folder
from quartet.artifacts.writing import read_json, write_bytes, write_json, write_text
from quartet.datasets.text_sources import read_text
from quartet.datasets.tokenizers import encode, lines, train_tokenizer
from quartet.params.sections import PreprocessText

SPLITS = ("train", "validation", "test")
TEST, VALIDATION = 0.10, 0.05  # shares of the whole, and of what remains


def split_text(text: str, how: str, seed: int) -> dict[str, str]:
    """The three splits of `text`: the end held out (`tail`) or whole passages drawn by `seed` (`passages`)."""
    if how == "tail":
        test_from = len(text) - round(len(text) * TEST)
        validation_from = test_from - round(test_from * VALIDATION)
        return {
            "train": text[:validation_from],
            "validation": text[validation_from:test_from],
            "test": text[test_from:],
        }
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


def preprocess_text(raw: Path, folder: Path, settings: PreprocessText) -> dict:
    """Split, fit the tokenizer to the training text alone, encode; returns what `info.json` holds.

    Raises:
        ValueError: the text is too short to have three splits.
    """
    manifest = read_json(raw / "manifest.json")
    splits = split_text(read_text(raw / "text.txt"), manifest["split"], settings.split_seed)
    for name, text in splits.items():
        if len(text) < 100:
            raise ValueError(f"{raw / 'text.txt'}: its {name} split has {len(text)} characters; 100 are the least")
    tokenizer = train_tokenizer(settings.tokenizer, lines(splits["train"]), settings.vocabulary_size)
    counts = {}
    for name, text in splits.items():
        tokens = encode(tokenizer, text)
        write_text(folder / f"{name}.txt", text)
        write_bytes(folder / f"{name}.bin", tokens.tobytes())
        counts[name] = {"bytes": len(text.encode()), "characters": len(text), "tokens": len(tokens)}
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    info = {
        "source": manifest["source"],
        "tokenizer": settings.tokenizer,
        "vocabulary_size": tokenizer.get_vocab_size(),
        "dtype": str(tokens.dtype),
        "counts": counts,
        "sha256": sha256_of_folder(folder),
    }
    write_json(folder / "info.json", info)
    return info


def token_stream(folder: Path, split: str) -> np.ndarray:
    """The token ids of a split, `(tokens,)`, memory-mapped and read-only."""
    return np.memmap(folder / f"{split}.bin", dtype=read_json(folder / "info.json")["dtype"], mode="r")
