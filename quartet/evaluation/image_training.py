"""What a training of an image classifier consists of: network, augmented batches, loss, validation."""

import contextlib
import dataclasses
import io
from collections.abc import Mapping

import torch
from torch import Tensor

from quartet.datasets.augment import random_transforms, transformed
from quartet.datasets.batches import ShuffledBatches, normalise
from quartet.evaluation.predictions import VALIDATED, logits_over, validation_scores
from quartet.evaluation.training_run import Plan
from quartet.networks.building import build_network
from quartet.params.sections import TrainCnn
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.compiling import compiled
from quartet.training.loop import Task
from quartet.training.loop import train as train_network
from quartet.training.losses import classification_loss


def image_training(
    settings: TrainCnn,
    info: Mapping[str, object],
    device: torch.device,
    *,
    seed: int,
    train: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
) -> Plan:
    """The plan of a training.

    Args:
        settings: of the training.
        info: what preprocessing says of the images.
        device: where to train.
        seed: of the order of the images.
        train, held_out: images `(images, channels, size, size)` uint8 and labels `(images,)`.
    """
    images, labels = (tensor.to(device) for tensor in train)
    held_out, held_out_labels = (tensor.to(device) for tensor in held_out)
    description = {
        "name": settings.network,
        "classes": len(info["classes"]),
        "dropout": settings.dropout,
        "activation": settings.activation,
    }
    if settings.network == "compact":
        description |= {
            "channels": info["channels"],
            "size": info["size"],
            "width": settings.width,
            "stem": settings.stem,
        }
    batches = ShuffledBatches(len(images), settings.batch_size, seed, device)
    mean, std = (torch.tensor(info[name], device=device) for name in ("mean", "std"))

    def normalised(pixels):
        # Channels last is the layout in which convolutions are fastest.
        return normalise(pixels, mean, std).contiguous(memory_format=torch.channels_last)

    def inputs_of(pixels, transforms):
        return normalised(transformed(pixels.float() / 255, transforms))

    def batch_of(examples, generator):
        (chosen,) = examples
        transforms = random_transforms(settings.augmentation, len(chosen), generator)
        return inputs_of(images[chosen], transforms), labels[chosen]

    def loss_of(network, batch):
        inputs, targets = batch
        return classification_loss(network(inputs).float(), targets, settings.loss, settings.label_smoothing)

    if settings.compile:
        inputs_of, loss_of = compiled(inputs_of), compiled(loss_of)

    def validate(network):
        batch_size = VALIDATED * settings.batch_size
        logits = logits_over(network, held_out, lambda pixels: normalised(pixels.float() / 255), batch_size)
        return validation_scores(logits, held_out_labels)

    task = Task(
        network=build_network(description).to(device, memory_format=torch.channels_last),
        examples_at=lambda number: (batches.indices(number),),
        batch_of=batch_of,
        loss_of=loss_of,
        validate=validate,
        steps=batches.steps_in(settings.epochs, settings.accumulate) if settings.epochs else settings.steps,
        validate_every=settings.validate_every,
        replayable=True,
    )
    return Plan(task, description, ("classes", "channels", "size", "mean", "std"))


def accuracy_after_training(
    settings: TrainCnn,
    info: Mapping[str, object],
    device: torch.device,
    *,
    seed: int,
    train: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
) -> float:
    """Train, quietly, and score the last weights on what is held out: nothing is chosen there."""
    settings = dataclasses.replace(settings, validate_every=10**9)
    torch.manual_seed(seed)  # initial weights
    plan = image_training(settings, info, device, seed=seed, train=train, held_out=held_out)
    with contextlib.redirect_stdout(io.StringIO()):
        outcome = train_network(plan.task, settings, seed=seed, device=device, checkpoint=NoCheckpoint())
    return outcome.history[-1]["validation_accuracy"]
