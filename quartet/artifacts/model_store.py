"""Models on disk: `model.safetensors` beside a readable `card.json`, together all that rebuilds the network."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts.checksums import sha256
from quartet.artifacts.writing import atomic_folder, read_json, write_bytes, write_json

if TYPE_CHECKING:
    import numpy
    import torch


def save_model(
    folder: Path,
    weights: Mapping[str, "torch.Tensor"],
    *,
    family: str,
    network: Mapping[str, object],
    data: Mapping[str, object],
    training: Mapping[str, object],
) -> None:
    """Write a model folder, whole or not at all.

    `network` holds the arguments that rebuild the network, `data` what its inputs mean and their checksum,
    `training` the steps taken and the validation scores.
    """
    with atomic_folder(folder) as temporary:
        save_tensors(temporary / "model.safetensors", weights)
        card = {
            "family": family,
            "network": dict(network),
            "data": dict(data),
            "training": dict(training),
            "sha256": sha256(temporary / "model.safetensors"),
        }
        write_json(temporary / "card.json", card)


def read_card(folder: Path) -> dict:
    """The card of a model.

    Raises:
        ValueError: the card is missing or broken, or does not belong to the weights beside it.
    """
    card = read_json(folder / "card.json")
    found = sha256(folder / "model.safetensors")
    if found != card["sha256"]:
        raise ValueError(
            f"{folder / 'model.safetensors'}: expected sha256 {card['sha256']}, found {found}; "
            f"delete {folder} and run `dvc checkout` or `dvc repro`"
        )
    return card


def read_card_for(folder: Path, processed: Path) -> dict:
    """The card of a model that is asked about the data in `processed`.

    Raises:
        ValueError: as `read_card`; or the model was trained on other data, whose tokens or classes mean other things.
    """
    card = read_card(folder)
    if card["data"]["sha256"] != read_json(processed / "info.json")["sha256"]:
        raise ValueError(
            f"{folder} was trained on other data than {processed} holds now; "
            "`dvc repro` trains it anew, `dvc checkout` brings back what belongs together"
        )
    return card


def load_weights(folder: Path) -> dict[str, "torch.Tensor"]:
    """The tensors of a model, on the CPU."""
    return load_tensors(folder / "model.safetensors")


def save_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"]) -> None:
    """Write tensors as safetensors, sorted by name and without metadata, so that equal content means equal bytes."""
    from safetensors.torch import save

    write_bytes(path, save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}))


def save_arrays(path: Path, arrays: Mapping[str, "numpy.ndarray"]) -> None:
    """`save_tensors` for numpy arrays, without importing torch."""
    import numpy
    from safetensors.numpy import save

    # safetensors writes the memory as it lies, whatever the strides say.
    write_bytes(path, save({name: numpy.ascontiguousarray(arrays[name]) for name in sorted(arrays)}))


def load_tensors(path: Path) -> dict[str, "torch.Tensor"]:
    """Read a safetensors file.

    Raises:
        ValueError: the file is missing or broken.
    """
    from safetensors.torch import load

    return _loaded(path, load)


def _loaded(path: Path, load: Callable[[bytes], dict]) -> dict:
    from safetensors import SafetensorError

    try:
        # Read whole rather than memory-mapped: a mapped file that is replaced would change under the tensors.
        return load(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; `dvc repro` builds it") from error
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is broken ({error}); delete it and run `dvc checkout` or `dvc repro`") from error
