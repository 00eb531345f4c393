"""Labelled sequences as the pipeline keeps them: one tensor per split.

`data/processed/sequences/` holds `{train,validation,test}.safetensors`, each with `sequences` `(examples, steps,
features)` and `labels` `(examples,)` int64, and `info.json`. Images become sequences row by row (`image-rows`: a step
is a row from top to bottom) or pixel by pixel (`image-pixels`), which keeps them uint8.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.numpy import load_file

from quartet.artifacts.checksums import sha256_of_folder
from quartet.artifacts.model_store import load_tensors, save_arrays
from quartet.artifacts.writing import read_json, write_json

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "validation", "test")


def preprocess_sequences(raw: Path, images: Path, folder: Path) -> dict:
    """Cut the processed images into sequences, split as they are; returns what `info.json` holds."""
    kind = read_json(raw / "manifest.json")["source"]
    described = read_json(images / "info.json")
    for split in SPLITS:
        tensors = load_file(images / f"{split}.safetensors")
        pictures = tensors["images"]  # (images, channels, height, width)
        count, channels, height, width = pictures.shape
        steps, features = (height, width) if kind == "image-rows" else (height * width, 1)
        # A step's features are its pixels, channel after channel.
        ordered = pictures.reshape(count, channels, steps, features).swapaxes(1, 2)
        sequences = ordered.reshape(count, steps, channels * features)
        save_arrays(folder / f"{split}.safetensors", {"sequences": sequences, "labels": tensors["labels"]})
    info = {
        "source": described["source"],
        "kind": kind,
        "classes": described["classes"],
        "image_shape": [channels, height, width],
        "steps": steps,
        "features": channels * features,
        "mean": described["mean"],
        "std": described["std"],
        "counts": described["counts"],
        "sha256": sha256_of_folder(folder),
    }
    write_json(folder / "info.json", info)
    return info


def load_sequences(folder: Path, split: str) -> tuple["torch.Tensor", "torch.Tensor"]:
    """`sequences` and `labels` of one split, on the CPU.

    Raises:
        ValueError: the file is missing or broken.
    """
    tensors = load_tensors(folder / f"{split}.safetensors")
    return tensors["sequences"], tensors["labels"]


def as_images(sequences: "torch.Tensor", image_shape: list[int]) -> "torch.Tensor":
    """`(batch, steps, features)` back to `(batch, channels, height, width)`."""
    batch, steps, features = sequences.shape
    channels, height, width = image_shape
    return (
        sequences.reshape(batch, steps, channels, features // channels)
        .transpose(1, 2)
        .reshape(-1, channels, height, width)
    )


def as_sequences(images: "torch.Tensor", steps: int) -> "torch.Tensor":
    """`(batch, channels, height, width)` to `(batch, steps, features)`."""
    batch, channels = images.shape[:2]
    return images.reshape(batch, channels, steps, -1).transpose(1, 2).reshape(batch, steps, -1)
