"""Labelled sequences as the pipeline keeps them: the steps of all sequences one after another.

`data/processed/sequences/` holds `{train,validation,test}.safetensors`, each with `values` `(all steps, features)`,
`lengths` `(examples,)` int64 and `labels` `(examples,)` int64, and `info.json`. What the values are is `info["input"]`:
`pixels` (uint8), `tokens` (int32, one feature) or `numbers` (float32).
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quartet.artifacts.model_store import load_tensors


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Sequences of any lengths with their labels, on one device."""

    values: Tensor  # (all steps, features)
    lengths: Tensor  # (examples,)
    labels: Tensor  # (examples,)

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> "Sequences":
        """The same on another device."""
        return Sequences(self.values.to(device), self.lengths.to(device), self.labels.to(device))

    def padded(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Values `(batch, longest, features)`, zero behind each sequence's end, and lengths `(batch,)`."""
        lengths = self.lengths[chosen]
        starts = (self.lengths.cumsum(0) - self.lengths)[chosen]
        steps = torch.arange(int(lengths.max()), device=lengths.device)
        inside = steps < lengths[:, None]  # (batch, longest)
        rows = torch.where(inside, starts[:, None] + steps, 0)
        return self.values[rows] * inside[..., None], lengths


def load_sequences(folder: Path, split: str) -> Sequences:
    """One split, on the CPU.

    Raises:
        ValueError: the file is missing or broken.
    """
    return Sequences(**load_tensors(folder / f"{split}.safetensors"))


def network_inputs(values: Tensor, info: Mapping[str, Any]) -> Tensor:
    """Padded values `(batch, steps, features)` to what the network reads.

    `info` is that of `info.json`, or of the model's card. Pixels and numbers become normalised numbers of the same
    shape, tokens ids `(batch, steps)`.
    """
    if info["input"] == "tokens":
        return values[..., 0].long()
    scale = 255 if info["input"] == "pixels" else 1
    # The statistics are those of a channel; a step's pixels come channel after channel.
    repeats = values.shape[-1] // len(info["mean"])
    mean, std = (torch.tensor(info[name], device=values.device).repeat_interleave(repeats) for name in ("mean", "std"))
    return (values.float() / scale - mean) / std


def as_sequences(images: Tensor, info: Mapping[str, Any]) -> Tensor:
    """`(batch, channels, height, width)` to `(batch, steps, features)`.

    A step is a row or a pixel, its features are its pixels, channel after channel; where `info` has an `order`, it says
    which place of the image each step shows.
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
