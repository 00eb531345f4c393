"""Turn raw data into the sequences that training reads (`loading.py` describes the format)."""

from pathlib import Path

import numpy as np
import pandas as pd

from quartet.artifacts import paths
from quartet.artifacts.checksums import sha256_of_folder
from quartet.artifacts.model_store import save_arrays
from quartet.artifacts.writing import read_json, write_json, write_table, write_text
from quartet.datasets.images import load_images
from quartet.datasets.splits import SPLITS, split_examples
from quartet.datasets.tokenizers import encode_each, train_tokenizer
from quartet.sequences.loading import as_sequences
from quartet.sequences.settings import PreprocessSequences
from quartet.sequences.time_series import read_time_series


def prepare_sequences(raw: Path, folder: Path, settings: PreprocessSequences, images: Path | None = None) -> dict:
    """Check, convert and split the sequences; returns the content of `info.json`.

    `images` is the folder of processed images that the sources `image-rows` and `image-pixels` read, by default the
    pipeline's.

    Raises:
        ValueError: a user's file is malformed, or a class has too few sequences for three splits.
    """
    kind = read_json(raw / "manifest.json")["source"].partition(":")[0]
    if kind == "csv":
        info = _from_time_series(raw / "series.csv", folder, settings)
    elif kind == "docstring-topics":
        info = _from_passages(raw / "passages.csv", folder, settings)
    else:
        info = _from_images(kind, images or paths.processed("images"), folder, settings)
    info = {**info, "kind": kind, "sha256": sha256_of_folder(folder)}
    write_json(folder / "info.json", info)
    return info


def _from_images(kind: str, images: Path, folder: Path, settings: PreprocessSequences) -> dict:
    """Images as sequences of rows, from top to bottom, or of pixels, with the same splits as the images."""
    described = read_json(images / "info.json")
    channels, height, width = described["channels"], described["size"], described["size"]
    steps, features = (height, width) if kind == "image-rows" else (height * width, 1)
    info = {
        "source": described["source"],
        "input": "pixels",
        "classes": described["classes"],
        "image_shape": [channels, height, width],
        "steps": steps,
        "features": channels * features,
        "mean": described["mean"],
        "std": described["std"],
        "counts": described["counts"],
    }
    if kind == "image-pixels" and settings.pixel_order == "permuted":
        info["order"] = np.random.default_rng(settings.split_seed).permutation(steps).tolist()
    for split in SPLITS:
        images_of_split, labels = load_images(images, split)
        values = as_sequences(images_of_split, info).flatten(0, 1).numpy()
        _save(folder, split, values, np.full(len(labels), steps), labels.numpy())
    return info


def _from_time_series(path: Path, folder: Path, settings: PreprocessSequences) -> dict:
    series = read_time_series(path, settings.missing)
    classes, labels = np.unique(series.labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"{path}: all series are labelled {classes[0]}; a classifier needs at least two labels")
    splits = _split(labels, [None] * len(labels), settings, list(classes))
    starts = np.cumsum(series.lengths) - series.lengths
    for split, chosen in splits.items():
        values = np.concatenate([series.values[starts[i] : starts[i] + series.lengths[i]] for i in chosen])
        _save(folder, split, values, series.lengths[chosen], labels[chosen])
        if split == "train":
            mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    return {
        "source": path.name,
        "input": "numbers",
        "classes": list(map(str, classes)),
        "steps": int(series.lengths.max()),
        "features": len(series.features),
        "feature_names": series.features,
        "mean": [_nine_digits(value) for value in mean],
        "std": [_nine_digits(value) or 1.0 for value in std],  # a constant feature is not scaled
        "counts": {split: len(chosen) for split, chosen in splits.items()},
    }


def _nine_digits(value: float) -> float:
    return float(f"{value:.9g}")


def _from_passages(path: Path, folder: Path, settings: PreprocessSequences) -> dict:
    """Tokens, with a vocabulary fitted to the training passages; all passages of one object are in one split."""
    table = pd.read_csv(path, keep_default_na=False)
    classes, labels = np.unique(table["topic"], return_inverse=True)
    splits = _split(labels, list(table["object_name"]), settings, list(classes))
    texts = table["text"].to_numpy()
    tokenizer = train_tokenizer("bpe", texts[splits["train"]], settings.vocabulary_size)
    encoded = encode_each(tokenizer, list(texts))
    lengths = np.asarray([len(tokens) for tokens in encoded])
    for split, chosen in splits.items():
        values = np.concatenate([encoded[i] for i in chosen]).astype(np.int32)[:, None]
        _save(folder, split, values, lengths[chosen], labels[chosen])
        write_table(folder / f"{split}.csv", table.iloc[chosen][["topic", "text"]])
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    return {
        "source": "docstring-topics",
        "input": "tokens",
        "classes": list(map(str, classes)),
        "steps": int(lengths.max()),
        "features": 1,
        "vocabulary_size": tokenizer.get_vocab_size(),
        "counts": {split: len(chosen) for split, chosen in splits.items()},
    }


def _split(labels: np.ndarray, groups: list, settings: PreprocessSequences, classes: list[str]) -> dict:
    """The indices of the training, validation and test splits; a group stays in one split."""
    return split_examples(labels, [None] * len(labels), groups, settings.validation, settings.split_seed, classes)


def _save(folder: Path, split: str, values: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> None:
    arrays = {"values": values, "lengths": lengths.astype(np.int64), "labels": labels.astype(np.int64)}
    save_arrays(folder / f"{split}.safetensors", arrays)
