"""Prepared images: one uint8 tensor per split, and their conversion to network inputs.

`data/processed/images/` holds `{train,validation,test}.safetensors`, each with `images` `(images, channels, size,
size)` uint8 and `labels` `(images,)` int64, and `info.json`.
"""

import math
import os
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quartet.artifacts.memory import free_memory
from quartet.artifacts.tensor_files import load_tensors, open_array

ROOM = 4  # so many times its size must be free for a split to be loaded: reading takes copies, and training needs some
PASSING = 2  # the same of the CPU's memory, for a split that goes on to a GPU
BATCHES_AHEAD = 4
VALUES = 2**24  # of images that are turned into floats at once, 64 MiB


def load_images(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """`images` and `labels` of one split, on the CPU.

    Raises:
        ValueError: the file is missing or broken.
    """
    tensors = load_tensors(folder / f"{split}.safetensors", ("images", "labels"))
    return tensors["images"], tensors["labels"]


def load_labels(folder: Path, split: str) -> Tensor:
    """The labels of one split, on the CPU; its images are not read.

    Raises:
        ValueError: the file is missing or broken.
    """
    return torch.from_numpy(np.array(open_array(folder / f"{split}.safetensors", "labels")))


def first_images(folder: Path, split: str, count: int) -> Tensor:
    """The first images of a split, on the CPU; the others are not read.

    Raises:
        ValueError: the file is missing or broken.
    """
    return torch.from_numpy(open_array(folder / f"{split}.safetensors", "images")[:count].copy())


class StreamedImages:
    """Images of a split that are read from disk as they are used, for sets that do not fit into memory.

    It is used as the tensor that it stands for: it has a length, is indexed by a tensor or a slice, and is split into
    batches. The operating system keeps in memory what was read last, as far as there is room.

    Args:
        path: of the split's file.
        device: where batches go.
    """

    def __init__(self, path: Path, device: torch.device):
        self.path, self.device, self._rows = path, device, open_array(path, "images")
        self._file = os.open(path, os.O_RDONLY)  # the same one to the end, whatever takes its name
        weakref.finalize(self, os.close, self._file)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)
        self._reader = ThreadPoolExecutor(1)
        self._ahead: dict[bytes, Future[Tensor]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> torch.Size:
        """`(images, channels, size, size)`."""
        return torch.Size(self._rows.shape)

    def __getitem__(self, chosen: Tensor | slice) -> Tensor:
        if isinstance(chosen, slice):
            return torch.from_numpy(self._rows[chosen].copy()).to(self.device)
        indices = chosen.cpu().numpy()
        started = self._ahead.pop(indices.tobytes(), None)
        return (started.result() if started else self._read(indices)).to(self.device)

    def read_ahead(self, chosen: Tensor) -> None:
        """Begin to read images that will be asked for soon, at most a few batches."""
        indices = chosen.cpu().numpy()
        if len(self._ahead) >= BATCHES_AHEAD:
            self._ahead.pop(next(iter(self._ahead))).cancel()
        if indices.tobytes() not in self._ahead:
            self._ahead[indices.tobytes()] = self._reader.submit(self._read, indices)

    def split(self, batch_size: int) -> Iterator[Tensor]:
        """All images in their order, in batches."""
        return (self[slice(start, start + batch_size)] for start in range(0, len(self), batch_size))

    def _read(self, indices: np.ndarray) -> Tensor:
        """Images of any order, each by a read of its own.

        Where a mapped file is touched, the system also reads what follows (up to some MiB), of which little is used.
        """
        images, size = np.empty((len(indices), *self.shape[1:]), np.uint8), math.prod(self.shape[1:])
        for image, index in zip(images, indices.tolist(), strict=True):
            if os.preadv(self._file, [image], self._rows.offset + index * size) != size:
                raise ValueError(f"{self.path} has become shorter while it was read")
        return torch.from_numpy(images)


Images = Tensor | StreamedImages


def open_images(folder: Path, split: str, device: torch.device) -> tuple[Images, Tensor]:
    """As `load_images`, on a device; the images stay on disk if they would fill more than a part of its memory.

    Raises:
        ValueError: the file is missing or broken.
    """
    path = folder / f"{split}.safetensors"
    free = _free_for_splits(device)
    if path.exists() and path.stat().st_size * ROOM > free:
        size, room = path.stat().st_size / 2**30, free / 2**30
        print(
            f"{path}: {size:.2f} GiB are read from disk as they are used; {room:.2f} GiB of memory are free", flush=True
        )
        return StreamedImages(path, device), load_labels(folder, split).to(device)
    images, labels = load_images(folder, split)
    return images.to(device), labels.to(device)


def _free_for_splits(device: torch.device) -> int:
    """Bytes of memory, of which a split may fill a part."""
    if device.type != "cuda":
        return free_memory()
    return min(torch.cuda.mem_get_info(device)[0], free_memory() * ROOM // PASSING)


def read_examples(images: Images, chosen: Tensor, following: Tensor) -> tuple[Tensor, ...]:
    """The indices `chosen` of a batch's images, for `pixels_of`; and the images, if they are on disk.

    These are read before the step, since a GPU that replays a step reads no files, and those of the `following` batch
    begin to be read.
    """
    if isinstance(images, Tensor):
        return (chosen,)
    images.read_ahead(chosen)
    images.read_ahead(following)
    return chosen, images[chosen]


def pixels_of(images: Images, examples: tuple[Tensor, ...]) -> Tensor:
    """The uint8 images of a batch, from what `read_examples` returns."""
    chosen, *read = examples
    return read[0] if read else images[chosen]


def rows_at_once(images: Images) -> int:
    """How many images to turn into floats at once, however many there are: as many as have `VALUES`, at least one."""
    return max(1, VALUES // math.prod(images.shape[1:]))


def to_unit_range(images: Tensor) -> Tensor:
    """Scale uint8 images to [0, 1]."""
    return images.float() / 255


def normalise(images: Tensor, mean: Tensor | Sequence[float], std: Tensor | Sequence[float]) -> Tensor:
    """Standardise `(batch, channels, height, width)` images in [0, 1] with the training split's `mean` and `std`."""
    mean, std = (torch.as_tensor(part, dtype=images.dtype, device=images.device) for part in (mean, std))
    return (images - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
