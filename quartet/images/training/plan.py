"""The plan of a training on images."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from quartet.artifacts import paths
from quartet.datasets.images import open_images
from quartet.images.settings import TrainCnn
from quartet.images.training.image_training import ImageTraining
from quartet.params.fields import say_idle
from quartet.training.no_classes import nothing_to_train
from quartet.training.run import Plan
from quartet.training.start_classes import foreign_classifier
from quartet.training.start_weights import read_start

CARD_KEYS = (
    "classes",
    "channels",
    "size",
    "fit",
    "mean",
    "std",
    "grey_range",  # of 16-bit pictures alone
    "task",  # of captions alone
)


def plan(settings: TrainCnn, *, seed: int, folder: Path, info: Mapping, device: torch.device) -> Plan:
    """The plan of a training on the processed images in `folder`; `info` is their `info.json`.

    Where the images have captions, but no classes, there is nothing to train.
    """
    card_keys = tuple(key for key in CARD_KEYS if key in info)
    if len(info["classes"]) < 2:
        return nothing_to_train(card_keys, device, info["source"])
    frozen = " whose body stands still" if settings.freeze == 1 else ""
    say_idle("train_cnn", settings.idle, f"{settings.network}{frozen}")
    train, held_out = open_images(folder, "train", device), open_images(folder, "validation", device)
    manifest = read_start(settings.start_from, paths.raw("weights") / "cnn") or {}
    start = manifest.get("network", {})
    training = ImageTraining(settings, info, device, seed=seed, train=train, held_out=held_out, start=start)
    return Plan(
        task=training.task(),
        description=training.description,
        card_keys=card_keys,
        draw=training.draw_augmentation,
        calibrate=training.calibrate,
        foreign=partial(foreign_classifier, training.network, info["classes"]),
    )
