"""Models on disk: `model.safetensors` (the weights) and a readable `card.json` (how to rebuild the network).

A model of tokens has its `tokenizer.json` beside them.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts.checksums import sha256
from quartet.artifacts.shapes import CARD
from quartet.artifacts.verification import read_described, write_described
from quartet.artifacts.writing import atomic_folder, atomic_path, read_json, write_bytes

if TYPE_CHECKING:
    import numpy
    import torch


ARRAY_TYPES = {"U8": "uint8", "I64": "int64"}  # safetensors' names of the types that are read and written in parts


def save_model(
    folder: Path,
    weights: Mapping[str, "torch.Tensor"],
    *,
    family: str,
    network: Mapping[str, object],
    data: Mapping[str, object],
    training: Mapping[str, object],
    calibration: Mapping[str, object] | None = None,
    start: Mapping[str, object] | None = None,
    files: Collection[Path] = (),
) -> None:
    """Write a model folder atomically.

    `network` holds the arguments that rebuild the network, `data` describes its inputs and has their checksum,
    `training` has the steps taken and the validation scores, `calibration` what was fitted to the validation split,
    `start` what weights the training started from. Copies of `files` are put beside them.
    """
    with atomic_folder(folder) as temporary:
        save_tensors(temporary / "model.safetensors", weights)
        for path in files:
            write_bytes(temporary / path.name, path.read_bytes())
        beside = {path.name: sha256(temporary / path.name) for path in files}
        card = {
            "family": family,
            "network": dict(network),
            "data": dict(data),
            "training": dict(training),
            **({"calibration": dict(calibration)} if calibration else {}),
            **({"start": dict(start)} if start else {}),
            **({"checksums": beside} if beside else {}),
            "sha256": sha256(temporary / "model.safetensors"),
        }
        write_described(temporary / "card.json", card)


def read_card(folder: Path) -> dict:
    """Read a model's card.

    Raises:
        ValueError: the card is missing, broken or changed, or does not match the files beside it.
    """
    remedy = f"delete {folder} and run `dvc checkout` or `dvc repro`"
    card = read_described(folder / "card.json", CARD, remedy)
    try:
        found = sha256(folder / "model.safetensors")
    except OSError as error:
        raise ValueError(f"{folder / 'model.safetensors'}: {error.strerror or error}; {remedy}") from error
    if found != card["sha256"]:
        raise ValueError(f"{folder / 'model.safetensors'}: expected sha256 {card['sha256']}, found {found}; {remedy}")
    return card


def read_card_for(folder: Path, processed: Path) -> dict:
    """Read the card of a model that is used on the data in `processed`.

    Raises:
        ValueError: as `read_card`; or the model was trained on other data, so its tokens or classes may differ.
    """
    card = read_card(folder)
    if card["data"]["sha256"] != read_json(processed / "info.json").get("sha256"):
        raise ValueError(
            f"{folder} was not trained on the data that is now in {processed}; "
            "`dvc repro` retrains it, `dvc checkout` restores the last matching pair"
        )
    return card


def load_weights(folder: Path) -> dict[str, "torch.Tensor"]:
    """Load a model's tensors, on the CPU."""
    return load_tensors(folder / "model.safetensors")


def save_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"]) -> None:
    """Write tensors as safetensors, sorted by name and without metadata, so that equal content means equal bytes."""
    from safetensors.torch import save

    write_bytes(path, save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}))


def save_arrays(path: Path, arrays: Mapping[str, "numpy.ndarray"]) -> None:
    """`save_tensors` for numpy arrays, without importing torch."""
    import numpy
    from safetensors.numpy import save

    # safetensors ignores strides and writes the memory as it is.
    write_bytes(path, save({name: numpy.ascontiguousarray(arrays[name]) for name in sorted(arrays)}))


def save_rows(
    path: Path,
    name: str,
    rows: Iterable["numpy.ndarray"],
    shape: tuple[int, ...],
    others: Mapping[str, "numpy.ndarray"],
) -> None:
    """`save_arrays` of one uint8 array whose rows come one by one, so that it need not fit into memory.

    Args:
        name, rows, shape: the array; the bytes are those that `save_arrays` writes.
        others: small arrays of larger types.
    """
    import numpy

    arrays = sorted(others.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    header, end = {}, 0
    kinds = {kind: name for name, kind in ARRAY_TYPES.items()}
    for other, array in arrays:
        header[other] = {
            "dtype": kinds[str(array.dtype)],
            "shape": array.shape,
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    header[name] = {"dtype": "U8", "shape": shape, "data_offsets": [end, end + math.prod(shape)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in arrays:
            file.write(numpy.ascontiguousarray(array).data)
        for row in rows:
            file.write(numpy.ascontiguousarray(row).data)


def open_array(path: Path, name: str) -> "numpy.ndarray":
    """An array of a safetensors file, of which the memory holds what is used.

    Raises:
        ValueError: the file is missing or broken.
    """
    import numpy

    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            about = json.loads(file.read(length))[name]
        start = 8 + length + about["data_offsets"][0]
        return numpy.memmap(path, ARRAY_TYPES[about["dtype"]], "r", start, tuple(about["shape"]))
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; `dvc repro` builds it") from error
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        OSError,
        ArithmeticError,
        MemoryError,
        RecursionError,
    ) as error:
        raise ValueError(f"{path} is broken ({error}); delete it and run `dvc checkout` or `dvc repro`") from error


def load_tensors(path: Path, names: Collection[str] = ()) -> dict[str, "torch.Tensor"]:
    """Read a safetensors file, in which the tensors with these `names` must be.

    Raises:
        ValueError: the file is missing or broken, or lacks one of them.
    """
    from safetensors.torch import load

    tensors = _loaded(path, load)
    if missing := sorted(set(names) - set(tensors)):
        raise ValueError(
            f"{path} is broken (it holds no {missing[0]}); delete it and run `dvc checkout` or `dvc repro`"
        )
    return tensors


def _loaded(path: Path, load: Callable[[bytes], dict]) -> dict:
    from safetensors import SafetensorError

    try:
        # Not memory-mapped: replacing a mapped file would change the tensors.
        return load(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; `dvc repro` builds it") from error
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is broken ({error}); delete it and run `dvc checkout` or `dvc repro`") from error
