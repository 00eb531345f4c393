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

        train_cnn(read_params(params))


def train_cnn(params) -> None:
    """Network, batches, loss and validation for the loop."""
    from torch.nn import functional as F

    from quartet.artifacts import paths
    from quartet.artifacts.writing import read_json
    from quartet.datasets.augment import augment
    from quartet.datasets.batches import ShuffledBatches, normalise
    from quartet.datasets.images import load_images
    from quartet.evaluation.predictions import logits_over, validation_scores
    from quartet.evaluation.training_run import begin, train_and_report
    from quartet.networks.building import build_network
    from quartet.training.loop import Task

    device = begin(params)
    settings, folder = params.train_cnn, paths.processed("images")
    info = read_json(folder / "info.json")
    images, labels = (tensor.to(device) for tensor in load_images(folder, "train"))
    held_out, held_out_labels = (tensor.to(device) for tensor in load_images(folder, "validation"))
    description = {
        "name": settings.network,
        "channels": info["channels"],
        "size": info["size"],
        "classes": len(info["classes"]),
        "width": settings.width,
        "dropout": settings.dropout,
    }
    batches = ShuffledBatches(len(images), settings.batch_size, params.seed, device)

    def prepare(pixels):
        return normalise(pixels.float() / 255, info["mean"], info["std"])

    def batch_at(step, generator):
        chosen = batches.indices(step)
        augmented = augment(images[chosen].float() / 255, settings.augmentation, generator)
        return normalise(augmented, info["mean"], info["std"]), labels[chosen]

    def loss_of(network, batch):
        inputs, targets = batch
        return F.cross_entropy(network(inputs), targets, label_smoothing=settings.label_smoothing)

    def validate(network):
        return validation_scores(logits_over(network, held_out, prepare), held_out_labels)

    task = Task(
        network=build_network(description).to(device),
        batch_at=batch_at,
        loss_of=loss_of,
        validate=validate,
        steps=settings.epochs * batches.steps_per_epoch if settings.epochs else settings.steps,
        validate_every=settings.validate_every,
    )
    train_and_report(
        "cnn",
        task,
        params,
        settings,
        device=device,
        network=description,
        folder=folder,
        info=info,
        card_keys=("classes", "channels", "size", "mean", "std"),
    )


if __name__ == "__main__":
    typer.run(main)
