"""Prepared images: one uint8 tensor per split, and their conversion to network inputs.

`data/processed/images/` holds `{train,validation,test}.safetensors`, each with `images` `(images, channels, size,
size)` uint8 and `labels` `(images,)` int64, and `info.json`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from quartet.artifacts.model_store import load_tensors


def load_images(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """`images` and `labels` of one split, on the CPU.

    Raises:
        ValueError: the file is missing or broken.
    """
    tensors = load_tensors(folder / f"{split}.safetensors")
    return tensors["images"], tensors["labels"]


def to_unit_range(images: Tensor) -> Tensor:
    """Scale uint8 images to [0, 1]."""
    return images.float() / 255


def normalise(images: Tensor, mean: Tensor | Sequence[float], std: Tensor | Sequence[float]) -> Tensor:
    """Standardise `(batch, channels, height, width)` images in [0, 1] with the training split's `mean` and `std`."""
    mean, std = (torch.as_tensor(part, dtype=images.dtype, device=images.device) for part in (mean, std))
    return (images - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
