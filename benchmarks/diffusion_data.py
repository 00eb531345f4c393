"""The pictures of the text-to-image benchmark, what is said of them, and what each model is asked to draw."""

import dataclasses
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from benchmarks.measuring import prepare_mnist
from quartet.artifacts.fetching import Fetching
from quartet.images.settings import PreprocessImages, TrainCnn
from quartet.params.shared import Augmentation

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from quartet.text_to_image.captions.prompts import Prompts, Reader

PHOTOGRAPHS = "photos/cifar10-small.zip"  # below the mirror
SIZES = {"mnist": 16, "glyphs": 32, "cifar10-small": 32}  # pixels, by default
JUDGE = TrainCnn(
    width=32, precision="float32", dropout=0.0, batch_size=128, learning_rate=0.01, steps=900, validate_every=900
)
# As in the presets `glyphs` and `natural-small`.
JUDGES = {
    "mnist": JUDGE,
    "glyphs": dataclasses.replace(
        JUDGE,
        steps=2400,
        validate_every=2400,
        augmentation=Augmentation(rotation=0.0, shift=0.03, interpolation="nearest", brightness=0.0, contrast=0.0),
    ),
    "cifar10-small": dataclasses.replace(
        JUDGE,
        optimizer="muon",
        learning_rate=0.02,
        weight_decay=0.3,
        stem="plain",
        activation="gelu",
        label_smoothing=0.1,
        augmentation=Augmentation(
            rotation=0.0, shift=0.125, interpolation="nearest", brightness=0.1, contrast=0.1, flip=0.5, cutout=0.25
        ),
    ),
}


def prepare(data: str, mirror: str | None, folder: Path, size: int) -> None:
    """Fetch the pictures of a name in `SIZES` and prepare them in `folder`, `size` pixels wide and high."""
    settings = PreprocessImages(size=size)
    if data == "mnist":
        prepare_mnist(mirror, folder, settings)
        return
    from quartet.artifacts.writing import write_json
    from quartet.images.preparation import prepare_images
    from quartet.images.sources import download_images

    raw = folder / "raw"
    with tempfile.TemporaryDirectory() as unpacked:
        source = data
        if data == "cifar10-small":
            if not (Path(mirror or "") / PHOTOGRAPHS).exists():
                raise typer.BadParameter(f"--mirror {mirror}: holds no {PHOTOGRAPHS}; give a folder that does")
            zipfile.ZipFile(Path(mirror or "") / PHOTOGRAPHS).extractall(unpacked)
            source = f"folder:{unpacked}/{data}"
        write_json(raw / "manifest.json", download_images(source, Fetching(mirror=mirror), raw))
    prepare_images(raw, folder, settings)


def source_of(info: Mapping[str, Any]) -> str:
    """Which name in `SIZES` the prepared pictures that `info.json` describes have."""
    return info["source"] if info["source"] in SIZES else "cifar10-small"


@dataclasses.dataclass(frozen=True)
class Questions:
    """What models are asked for in training, and what to draw.

    Attributes:
        reader: what gives captions their ids.
        training: the captions of training pictures.
        labels: the classes of training pictures, `(pictures,)`.
        captions: `(questions, words)` ids of what to draw, to be taken in turn.
        classes: of each of these, `(questions,)`.
    """

    reader: "Reader"
    training: "Prompts"
    labels: "Tensor"
    captions: "Tensor"
    classes: "Tensor"

    def turns(self, count: int) -> "Tensor":
        """Which question each of `count` pictures answers; a few are evenly spaced, since they are sorted by class."""
        places = self.classes.new_tensor(range(count))
        return places * max(len(self.classes), count) // count % len(self.classes)

    def drawn(self, count: int) -> "tuple[Tensor, Tensor]":
        """The captions and classes of `count` pictures."""
        turns = self.turns(count)
        return self.captions[turns], self.classes[turns]


def questions(folder: Path, info: Mapping[str, Any], split: str, device: "torch.device", longest: int) -> Questions:
    """Of pictures with captions of their own, draw those of `split`; else draw all classes in turn.

    `longest` is the most tokens of a caption of a picture's own.
    """
    import torch

    from quartet.datasets.images import load_labels
    from quartet.text_to_image.captions.open_captions import OpenCaptions, read_captions
    from quartet.text_to_image.captions.prompts import prompts_of_splits
    from quartet.text_to_image.captions.templates import TEMPLATES

    labels = load_labels(folder, "train").to(device)
    reader, prompts = prompts_of_splits(folder, info, {"train": labels}, longest)
    if isinstance(reader, OpenCaptions):
        classes = load_labels(folder, split)
        said = read_captions(folder, split, info, classes.tolist())
        captions = reader.encode_cut([each[place % len(each)] for place, each in enumerate(said)])[0]
    else:
        classes = torch.arange(len(info["classes"]))
        captions = reader.table(TEMPLATES[:1])[:, 0]
    return Questions(reader, prompts["train"], labels, captions.to(device), classes.to(device))
