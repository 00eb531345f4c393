"""Windows of token streams: the language model reads `context` tokens and predicts the successor of each.

`data/processed/text/` holds `{train,validation,test}.{txt,bin}`, `tokenizer.json` and `info.json`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quartet.artifacts.json_reading import shown
from quartet.artifacts.writing import read_json

TYPES = ("uint16", "uint32")


def token_stream(folder: Path, split: str) -> np.ndarray:
    """The token ids of a split, `(tokens,)`, memory-mapped and read-only.

    Raises:
        ValueError: the file is missing or empty, or `info.json` does not say of which type they are.
    """
    path, dtype = folder / f"{split}.bin", read_json(folder / "info.json").get("dtype")
    if dtype not in TYPES:
        raise ValueError(f"{folder / 'info.json'}: dtype: found {shown(dtype)}, wanted one of {', '.join(TYPES)}")
    try:
        return np.memmap(path, dtype=dtype, mode="r")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is missing or broken ({error}); delete it and run `dvc repro`") from error


class TrainingWindows:
    """Windows of a memory-mapped stream; they do not overlap within an epoch, and each epoch has another shift.

    Windows are numbered by position; the caller chooses those of a step (`ShuffledBatches`).

    Args:
        stream: `(tokens,)`.
        context: tokens per window.
        seed: of the shifts.
        device: where the windows go.
    """

    def __init__(self, stream: np.ndarray, context: int, seed: int, device: torch.device):
        self.stream, self.context, self.seed, self.device = stream, context, seed, device
        whole = (len(stream) - 1) // context
        if whole < 1:
            raise ValueError(
                f"{len(stream)} tokens of training text are fewer than train_lm.context + 1 = {context + 1}"
            )
        self.count = max(1, whole - 1)  # one window less leaves room to shift the others by up to a window

    def batch(self, windows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Tokens and their successors, both `(batch, context)`, of the numbered windows.

        All windows of an epoch have the same shift, so that over the epochs a token comes up at every position.
        """
        spare = len(self.stream) - 1 - self.count * self.context
        offset = int(np.random.default_rng((self.seed, epoch)).integers(spare + 1))
        starts = windows.numpy() * self.context + offset
        rows = np.stack([self.stream[start : start + self.context + 1] for start in starts]).astype(np.int64)
        tokens = torch.from_numpy(rows)  # (batch, context + 1)
        if self.device.type == "cuda":
            tokens = tokens.pin_memory()  # for an asynchronous copy
        tokens = tokens.to(self.device, non_blocking=True)
        return tokens[:, :-1], tokens[:, 1:]


def scored_windows(
    stream: np.ndarray, first: int, context: int, stride: int, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Windows in which every token of the stream is predicted exactly once.

    Args:
        stream: `(tokens,)`.
        first: a token before the stream, as the context of the stream's first token.
        context: tokens per window.
        stride: distance between windows. At `context` they do not overlap. Below, each window after the first scores
            only its last `stride` tokens, which have at least `context` − `stride` tokens before them.
        batch_size: windows per batch.
        device: where the tensors go.

    Yields:
        Tokens, their successors and the mask of scored positions, each `(batch, context)`.
    """
    windows = 1 + max(0, -(-(len(stream) - context) // stride))
    for chunk in range(0, windows, batch_size):
        rows = range(chunk, min(chunk + batch_size, windows))
        tokens = np.zeros((len(rows), context + 1), np.int64)
        mask = np.zeros((len(rows), context), bool)
        for place, row in enumerate(rows):
            start = row * stride
            successors = stream[start : start + context]
            tokens[place, 0] = stream[start - 1] if start else first
            tokens[place, 1 : 1 + len(successors)] = successors
            mask[place, context - stride if row else 0 : len(successors)] = True
        on_device = torch.from_numpy(tokens).to(device)
        yield on_device[:, :-1], on_device[:, 1:], torch.from_numpy(mask).to(device)
