"""Models on disk: `model.safetensors` (the weights) and a readable `card.json` (how to rebuild the network).

A model of tokens has its `tokenizer.json` beside them.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts.checksums import sha256
from quartet.artifacts.shapes import CARD
from quartet.artifacts.tensor_files import load_tensors, save_tensors
from quartet.artifacts.verification import read_described, write_described
from quartet.artifacts.writing import atomic_folder, read_json, write_bytes

if TYPE_CHECKING:
    import torch


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
