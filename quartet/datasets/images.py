"""Images as the pipeline keeps them: one uint8 tensor per split, and what networks read of them.

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


def unit(images: Tensor) -> Tensor:
    """uint8 images as numbers in [0, 1]."""
    return images.float() / 255


def normalise(images: Tensor, mean: Tensor | Sequence[float], std: Tensor | Sequence[float]) -> Tensor:
    """`(batch, channels, height, width)` in [0, 1] to zero mean and unit deviation over the training split."""
    mean, std = (torch.as_tensor(part, dtype=images.dtype, device=images.device) for part in (mean, std))
    return (images - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
