"""Train the image classifier: `python -m stages.train_cnn`.

Reads `data/processed/images`; writes `models/cnn` and the training's part of `reports/cnn`.
"""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml")) -> None:
    """Train the convolutional network; keep the weights with the best validation accuracy."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_cnn"):
        from quartet.params import read_params

        settings = read_params(params)  # before the slow imports
        from quartet.evaluation.training_run import run_training

        run_training("cnn", "images", settings, image_plan)


def image_plan(params, folder, info, device):
    """The plan for the splits of the processed images."""
    from quartet.datasets.images import load_images

    return plan_for(
        params, info, device, train=load_images(folder, "train"), held_out=load_images(folder, "validation")
    )


def plan_for(params, info, device, *, train, held_out):
    """Network, batches, loss and validation for the loop.

    `train` and `held_out` are images `(images, channels, size, size)` uint8 and labels `(images,)`; `info` is what
    preprocessing says of them.
    """
    import torch

    from quartet.datasets.augment import augment
    from quartet.datasets.batches import ShuffledBatches, normalise
    from quartet.evaluation.predictions import logits_over, validation_scores
    from quartet.evaluation.training_run import Plan
    from quartet.networks.building import build_network
    from quartet.training.loop import Task
    from quartet.training.losses import classification_loss

    settings = params.train_cnn
    images, labels = (tensor.to(device) for tensor in train)
    held_out, held_out_labels = (tensor.to(device) for tensor in held_out)
    description = {
        "name": settings.network,
        "classes": len(info["classes"]),
        "dropout": settings.dropout,
        "activation": settings.activation,
    }
    if settings.network == "compact":
        description |= {"channels": info["channels"], "size": info["size"], "width": settings.width}
    batches = ShuffledBatches(len(images), settings.batch_size, params.seed, device)

    def normalised(pixels):
        # Channels last is the layout in which convolutions are fastest.
        return normalise(pixels, info["mean"], info["std"]).contiguous(memory_format=torch.channels_last)

    def batch_at(step, generator):
        chosen = batches.indices(step)
        return normalised(augment(images[chosen].float() / 255, settings.augmentation, generator)), labels[chosen]

    def loss_of(network, batch):
        inputs, targets = batch
        return classification_loss(network(inputs).float(), targets, settings.loss, settings.label_smoothing)

    def validate(network):
        logits = logits_over(network, held_out, lambda pixels: normalised(pixels.float() / 255))
        return validation_scores(logits, held_out_labels)

    task = Task(
        network=build_network(description).to(device, memory_format=torch.channels_last),
        batch_at=batch_at,
        loss_of=loss_of,
        validate=validate,
        steps=batches.steps_in(settings.epochs, settings.accumulate) if settings.epochs else settings.steps,
        validate_every=settings.validate_every,
    )
    return Plan(task, description, ("classes", "channels", "size", "mean", "std"))


if __name__ == "__main__":
    typer.run(main)
