"""Load prepared sequences and convert them to network inputs.

`data/processed/sequences/` holds `{train,validation,test}.safetensors` and `info.json`. Each split has `values` `(all
steps, features)`, the steps of all sequences one after another, and `lengths` and `labels`, both `(examples,)` int64;
series with a number to predict have `targets` (float64) instead of `labels`. `info["input"]` says what the values are:
`pixels` (uint8), `tokens` (int32, one feature) or `numbers` (float32, see `series_values`).
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from quartet.artifacts.tensor_files import load_tensors


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Sequences of different lengths with their classes, or the numbers to predict, on one device."""

    values: Tensor  # (all steps, features)
    lengths: Tensor  # (examples,)
    labels: Tensor  # (examples,) classes, int64, or numbers to predict, float64

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> "Sequences":
        """Copy to another device."""
        return Sequences(self.values.to(device), self.lengths.to(device), self.labels.to(device))

    def joined(self, other: "Sequences") -> "Sequences":
        """These sequences, and then the others."""
        parts = zip((self.values, self.lengths, self.labels), (other.values, other.lengths, other.labels), strict=True)
        return Sequences(*(torch.cat(part) for part in parts))

    def some(self, chosen: Tensor) -> "Sequences":
        """The chosen sequences."""
        each = self.values.split(self.lengths.tolist())
        values = torch.cat([each[number] for number in chosen.tolist()])
        return Sequences(values, self.lengths[chosen], self.labels[chosen])

    def padded(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Values `(batch, longest, features)`, zero after each sequence's end, and lengths `(batch,)`."""
        lengths = self.lengths[chosen]
        starts = (self.lengths.cumsum(0) - self.lengths)[chosen]
        steps = torch.arange(int(lengths.max()), device=lengths.device)
        inside = steps < lengths[:, None]  # (batch, longest)
        rows = torch.where(inside, starts[:, None] + steps, 0)
        return self.values[rows] * inside[..., None], lengths


def load_sequences(folder: Path, split: str) -> Sequences:
    """Load one split, on the CPU.

    Raises:
        ValueError: the file is missing or broken.
    """
    path = folder / f"{split}.safetensors"
    tensors = load_tensors(path, ("values", "lengths"))
    goals = tensors.get("targets", tensors.get("labels"))
    if goals is None:
        raise ValueError(f"{path} is broken (it holds no labels); delete it and run `dvc checkout` or `dvc repro`")
    return Sequences(tensors["values"], tensors["lengths"], goals)


def network_inputs(values: Tensor, info: Mapping[str, Any]) -> Tensor:
    """Convert padded values `(batch, steps, features)` to network inputs.

    `info` comes from `info.json` or the model's card. Pixels and numbers are normalised and keep their shape; tokens
    become ids `(batch, steps)`. Numbers are less their mean already, see `series_values`.
    """
    if info["input"] == "tokens":
        return values[..., 0].long()
    if info["input"] == "numbers":
        return values / torch.tensor(info["std"], device=values.device)
    # Mean and deviation are per channel, and a step's pixels are ordered by channel.
    repeats = values.shape[-1] // len(info["mean"])
    mean, std = (torch.tensor(info[name], device=values.device).repeat_interleave(repeats) for name in ("mean", "std"))
    return (values.float() / 255 - mean) / std


def series_values(values: ArrayLike, info: Mapping[str, Any]) -> np.ndarray:
    """The numbers `(steps, features)` of one series as they are stored: float32, less the mean of the training series.

    The mean may be so large, of times for example, that float32 would round away all that differs. With
    `info["standardise"]` of `series`, each feature is standardised by its own mean and deviation in this series.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if info.get("standardise") != "series":
        return (numbers - np.asarray(info["mean"])).astype(np.float32)
    centred = numbers - numbers.mean(axis=0)
    deviation = centred.std(axis=0)
    constant = deviation <= 1e-12 * np.abs(numbers).max(axis=0)  # but for the rounding of the mean
    return (centred / np.where(constant, 1.0, deviation)).astype(np.float32)


def as_sequences(images: Tensor, info: Mapping[str, Any]) -> Tensor:
    """`(batch, channels, height, width)` to `(batch, steps, features)`.

    A step is a row or a pixel, and its features are the pixels, channel after channel. `order` in `info`, if there is
    one, is the order in which the steps are read.
    """
    batch, channels = images.shape[:2]
    sequences = images.reshape(batch, channels, info["steps"], -1).transpose(1, 2).reshape(batch, info["steps"], -1)
    return sequences[:, info["order"]] if "order" in info else sequences


def as_images(sequences: Tensor, info: Mapping[str, Any]) -> Tensor:
    """The inverse of `as_sequences`."""
    batch, steps, features = sequences.shape
    if "order" in info:
        places = torch.tensor(info["order"], device=sequences.device)
        sequences = sequences[:, places.argsort()]
    channels, height, width = info["image_shape"]
    return (
        sequences.reshape(batch, steps, channels, features // channels)
        .transpose(1, 2)
        .reshape(-1, channels, height, width)
    )
