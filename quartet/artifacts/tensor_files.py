"""Files of tensors: safetensors without metadata, so that equal content means equal bytes.

They are written here, tensor by tensor, since the library copies all of them first or leaves files of its own behind if
it is killed (the format: https://huggingface.co/docs/safetensors; a test compares every byte with the library's).
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quartet.artifacts.disk_space import naming_full_disks
from quartet.artifacts.shortages import raise_shortage
from quartet.artifacts.writing import atomic_path

if TYPE_CHECKING:
    import numpy
    import torch


# From first to last in a file: the format's name of a type, and torch's and numpy's.
TYPES = {
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "F32": "float32",
    "U32": "uint32",
    "I32": "int32",
    "BF16": "bfloat16",
    "F16": "float16",
    "U16": "uint16",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
NAMES = {kind: name for name, kind in TYPES.items()}


class Entry(NamedTuple):
    """A tensor to be written.

    Attributes:
        kind: of its numbers, such as `float32`.
        shape: of the tensor.
        item_bytes: of one number.
        parts: returns its numbers, as contiguous arrays, one after the other.
    """

    kind: str
    shape: tuple[int, ...]
    item_bytes: int
    parts: Callable[[], Iterable["numpy.ndarray"]]


def save_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"]) -> None:
    """Write tensors; those of a GPU, or not contiguous, are copied one at a time."""
    import torch

    def entry(tensor: torch.Tensor) -> Entry:
        def parts() -> Iterator["numpy.ndarray"]:
            yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()

        return Entry(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), tensor.element_size(), parts)

    _save(path, {name: entry(tensor) for name, tensor in tensors.items()})


def save_arrays(path: Path, arrays: Mapping[str, "numpy.ndarray"]) -> None:
    """`save_tensors` for numpy arrays, without importing torch."""
    _save(path, {name: _array_entry(array) for name, array in arrays.items()})


def save_rows(
    path: Path,
    name: str,
    rows: Iterable["numpy.ndarray"],
    shape: tuple[int, ...],
    others: Mapping[str, "numpy.ndarray"],
) -> None:
    """`save_arrays` of one uint8 array whose rows come one by one, so that it need not fit into memory.

    Args:
        name, rows, shape: the array.
        others: small arrays.
    """
    import numpy

    entries = {other: _array_entry(array) for other, array in others.items()}
    _save(path, {**entries, name: Entry("uint8", shape, 1, lambda: map(numpy.ascontiguousarray, rows))})


def open_array(path: Path, name: str) -> "numpy.memmap":
    """An array of a safetensors file, of which the memory holds what is used.

    Raises:
        ValueError: the file is missing or broken.
    """
    import numpy

    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError(f"a header of {length:,} bytes")
            about = json.loads(file.read(length))[name]
        if (begin := about["data_offsets"][0]) < 0:
            raise ValueError(f"{name} begins at {begin}")
        start = 8 + length + begin
        return numpy.memmap(path, TYPES[about["dtype"]], "r", start, tuple(about["shape"]))
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; `dvc repro` builds it") from error
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        OSError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise_shortage(error)
        raise ValueError(f"{path} is broken ({error}); delete it and run `dvc checkout` or `dvc repro`") from error


def load_tensors(path: Path, names: Collection[str] = ()) -> dict[str, "torch.Tensor"]:
    """Read a safetensors file, in which the tensors with these `names` must be.

    Raises:
        ValueError: the file is missing or broken, or lacks one of them.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{path} is missing; `dvc repro` builds it")
    try:
        with safe_open(path, "pt") as file:
            # Copies: the file is mapped into memory, and replacing it would change the tensors.
            tensors = {name: file.get_tensor(name).clone() for name in file.offset_keys()}
    except (SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
        raise_shortage(error)
        raise ValueError(f"{path} is broken ({error}); delete it and run `dvc checkout` or `dvc repro`") from error
    if missing := sorted(set(names) - set(tensors)):
        raise ValueError(
            f"{path} is broken (it holds no {missing[0]}); delete it and run `dvc checkout` or `dvc repro`"
        )
    return tensors


def _array_entry(array: "numpy.ndarray") -> Entry:
    import numpy

    # Strides are not stored: the memory is written as it is.
    return Entry(str(array.dtype), array.shape, array.itemsize, lambda: [numpy.ascontiguousarray(array)])


def _save(path: Path, entries: Mapping[str, Entry]) -> None:
    for name, entry in entries.items():
        if entry.kind not in NAMES:
            raise ValueError(f"{path}: {name} cannot be stored: numbers of type {entry.kind}")
    header, end, order = {}, 0, list(TYPES)
    names = sorted(entries, key=lambda name: (order.index(NAMES[entries[name].kind]), name))
    for name in names:
        entry = entries[name]
        begin, end = end, end + prod(entry.shape) * entry.item_bytes
        header[name] = {"dtype": NAMES[entry.kind], "shape": entry.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, naming_full_disks(path, 8 + len(text) + end), temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            for part in entries[name].parts():
                file.write(part.data)
        if file.tell() != 8 + len(text) + end:
            raise ValueError(f"{path}: {file.tell() - 8 - len(text):,} bytes of numbers came, {end:,} were announced")
