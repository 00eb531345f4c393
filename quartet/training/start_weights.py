"""Start a training from weights that are there already: those of a model of one's own, or published ones.

`download weights` brings them into `data/raw/weights/<family>`: a `manifest.json`, which says `"from": null` where
nothing is wanted, and `model.safetensors`; beside it the `tokenizer.json` of a model of tokens, and files that the
settings bring along.
"""

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quartet.artifacts.checksums import sha256
from quartet.artifacts.errors import BadInput, listed
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import read_card
from quartet.artifacts.paths import user_path
from quartet.artifacts.shapes import START
from quartet.artifacts.tensor_files import load_tensors
from quartet.artifacts.verification import read_described, restoring, write_described
from quartet.params.shared import Training

if TYPE_CHECKING:
    from torch import Tensor, nn

REGISTRY = "models:/"
OF_DATA = ("classes", "caption_subject", "captions")  # what a card says of its data that gives weights their meaning
TOKENIZER = "tokenizer.json"
AGAIN = "run `dvc repro --force download@weights`"


def bring_weights(
    family: str,
    settings: Training,
    published: Callable[[Any, Fetching, Path], dict[str, Any] | None] | None,
    fetching: Fetching,
    folder: Path,
) -> None:
    """Fill `folder` with what the training of a family starts from; a manifest alone if it starts from random weights.

    `published` brings weights that others have trained, if the settings ask for some.

    Raises:
        BadInput: there is no such model, it is of another family, or there is no such file.
        FetchError: weights cannot be downloaded.
    """
    folder.mkdir(parents=True)
    found = None
    if settings.start_from:
        found = _bring_own_model(settings.start_from, family, folder)
    elif published:
        found = published(settings, fetching, folder)
    for setting, path in settings.brings.items():
        _bring_file(f"train_{family}.{setting}", path, folder / f"{setting}.txt")
    files = ("model.safetensors", TOKENIZER, *(f"{setting}.txt" for setting in settings.brings))
    checksums = {name: sha256(folder / name) for name in files if (folder / name).exists()}
    along = {"checksums": checksums, "brings": settings.brings}
    content = {"from": settings.starts_from, **(found or {}), **{name: each for name, each in along.items() if each}}
    write_described(folder / "manifest.json", content)


def _bring_file(setting: str, given: str, place: Path) -> None:
    """Copy the file that a setting names."""
    try:
        shutil.copyfile(user_path(given), place)
    except OSError as error:
        raise BadInput(f"{setting}: {user_path(given)}: {error.strerror or error}") from error


def _bring_own_model(start_from: str, family: str, folder: Path) -> dict[str, Any]:
    """Copy a model in a folder or in MLflow's registry into `folder`; returns what it is."""
    found: dict[str, Any] = {"licence": "the user's own"}
    if start_from.startswith(REGISTRY):
        from quartet.tracking.registry import download_registered

        model, found["version"] = download_registered(start_from)
    else:
        model = user_path(start_from)
        if not (model / "card.json").exists():
            raise BadInput(f"train_{family}.start_from: {model} is no folder of a model; it holds no card.json")
    card = read_card(model)
    if card["family"] != family:
        raise BadInput(f"train_{family}.start_from: {start_from} is a model of the family {card['family']}")
    for name in ("model.safetensors", TOKENIZER):
        if (model / name).exists():
            shutil.copyfile(model / name, folder / name)
    data = {name: card["data"][name] for name in OF_DATA if name in card["data"]}
    about = {"network": card["network"], "data": data, "data_sha256": card["data"]["sha256"]}
    return {**found, **about, "file": "model.safetensors", "sha256": card["sha256"]}


def read_start(wanted: str | None, folder: Path) -> dict[str, Any] | None:
    """The manifest of the weights in `folder`; None if none are wanted.

    Raises:
        BadInput: others are there than the settings want.
        ValueError: they are damaged.
    """
    if wanted is None:
        return None
    remedy = restoring(folder, "download@weights")
    manifest = read_described(folder / "manifest.json", START, remedy)
    if manifest["from"] != wanted:
        raise BadInput(f"{folder} holds weights of {manifest['from']}, not of {wanted}: {AGAIN}")
    return manifest


def say_if_moved(manifest: Mapping[str, Any]) -> None:
    """Print that an alias of the registry means another version by now."""
    if "version" not in manifest:
        return
    from quartet.tracking.registry import version_of

    try:
        now = version_of(manifest["from"])
    except Exception as error:  # the training needs no registry: its weights are here
        print(f"{manifest['from']}: was version {manifest['version']}; now: {error}", flush=True)
        return
    if now != manifest["version"]:
        print(
            f"{manifest['from']} is version {now} by now; this training starts from version {manifest['version']}. "
            f"To take the new one, {AGAIN}",
            flush=True,
        )


def _misfit(given: Mapping[str, "Tensor"], own: Mapping[str, "Tensor"]) -> str:
    """Why no weight fits: another size, or other names."""
    name = next((name for name in sorted(given) if name in own and own[name].shape != given[name].shape), None)
    if name is None:
        return f"it has {listed(sorted(given))}"
    shapes = " and here ".join("×".join(map(str, tensors[name].shape)) for tensors in (given, own))
    return f"{name} is {shapes}: set the sizes, such as width, to those in its card.json"


def take_weights(
    network: "nn.Module", manifest: Mapping[str, Any], folder: Path, foreign: Collection[str] = ()
) -> dict[str, Any]:
    """Take over the weights that fit by name and shape; the others keep their random ones, and are named.

    `foreign` names weights that may fit, but mean something else in this network. Returns what the model's card says
    of it.

    Raises:
        BadInput: no weight fits.
    """
    path = folder / "model.safetensors"
    given, own = load_tensors(path), network.state_dict()
    known = {name: tensor for name, tensor in given.items() if name in own and name not in foreign}
    fitting = {name: tensor for name, tensor in known.items() if own[name].shape == tensor.shape}
    new, unused = sorted(set(own) - set(fitting)), sorted(set(given) - set(fitting))
    if not fitting:
        raise BadInput(f"{manifest['from']}: none of its weights fits this network; {_misfit(given, own)}")
    network.load_state_dict(fitting, strict=False)
    print(
        f"starts from {manifest['from']}: {len(fitting)} of {len(own)} tensors"
        + (f"; new: {listed(new)}" if new else "")
        + (f"; not used: {listed(unused)}" if unused else ""),
        flush=True,
    )
    about = {name: manifest[name] for name in ("from", "version", "file", "sha256", "licence") if name in manifest}
    return {**about, "taken_sha256": sha256(path), "new": new}
