"""The plan of a training on images."""

from collections.abc import Mapping
from pathlib import Path

import torch

from quartet.artifacts.errors import BadInput
from quartet.datasets.images import open_images
from quartet.images.settings import TrainCnn
from quartet.images.training.image_training import ImageTraining
from quartet.params.fields import say_idle
from quartet.training.run import Plan

CARD_KEYS = (
    "classes",
    "channels",
    "size",
    "fit",
    "mean",
    "std",
    "grey_range",
)  # the last one for 16-bit pictures alone


def plan(settings: TrainCnn, *, seed: int, folder: Path, info: Mapping, device: torch.device) -> Plan:
    """The plan of a training on the processed images in `folder`; `info` is their `info.json`.

    Raises:
        BadInput: the images have captions, but no classes.
    """
    if len(info["classes"]) < 2:
        raise BadInput(
            f"{info['source']}: there are no classes to tell apart, only captions; train-cnn needs a column `label` or "
            "a folder per class"
        )
    frozen = " whose body stands still" if settings.freeze == 1 else ""
    say_idle("train_cnn", settings.idle, f"{settings.network}{frozen}")
    train, held_out = open_images(folder, "train", device), open_images(folder, "validation", device)
    training = ImageTraining(settings, info, device, seed=seed, train=train, held_out=held_out)
    return Plan(
        task=training.task(),
        description=training.description,
        card_keys=tuple(key for key in CARD_KEYS if key in info),
        draw=training.draw_augmentation,
        calibrate=training.calibrate,
    )
