"""Train the sequence classifier: `python -m stages.train_rnn`.

Reads `data/processed/sequences`; writes `models/rnn` and the training's part of `reports/rnn`.
"""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml")) -> None:
    """Train the recurrent network; keep the weights with the best validation accuracy."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_rnn"):
        from quartet.params import read_params

        settings = read_params(params)  # before the slow imports
        from quartet.evaluation.training_run import run_training

        run_training("rnn", "sequences", settings, sequence_plan)


def sequence_plan(params, folder, info, device):
    """Network, batches, loss and validation for the loop."""
    from torch.nn import functional as F

    from quartet.datasets.augment import augment
    from quartet.datasets.batches import ShuffledBatches, normalise
    from quartet.datasets.sequences import as_images, as_sequences, load_sequences
    from quartet.evaluation.predictions import logits_over, validation_scores
    from quartet.evaluation.training_run import Plan
    from quartet.networks.building import build_network
    from quartet.training.loop import Task

    settings = params.train_rnn
    sequences, labels = (tensor.to(device) for tensor in load_sequences(folder, "train"))
    held_out, held_out_labels = (tensor.to(device) for tensor in load_sequences(folder, "validation"))
    description = {
        "name": "recurrent",
        "features": info["features"],
        "classes": len(info["classes"]),
        "cell": settings.cell,
        "hidden_size": settings.hidden_size,
        "layers": settings.layers,
        "bidirectional": settings.bidirectional,
        "dropout": settings.dropout,
    }
    batches = ShuffledBatches(len(sequences), settings.batch_size, params.seed, device)

    def pictures(pixels):
        return as_images(pixels.float() / 255, info["image_shape"])

    def steps_of(images):
        return as_sequences(normalise(images, info["mean"], info["std"]), info["steps"])

    def batch_at(step, generator):
        chosen = batches.indices(step)
        return steps_of(augment(pictures(sequences[chosen]), settings.augmentation, generator)), labels[chosen]

    def loss_of(network, batch):
        inputs, targets = batch
        return F.cross_entropy(network(inputs), targets)

    def validate(network):
        logits = logits_over(network, held_out, lambda pixels: steps_of(pictures(pixels)))
        return validation_scores(logits, held_out_labels)

    task = Task(
        network=build_network(description).to(device),
        batch_at=batch_at,
        loss_of=loss_of,
        validate=validate,
        steps=settings.epochs * batches.steps_per_epoch if settings.epochs else settings.steps,
        validate_every=settings.validate_every,
    )
    return Plan(task, description, ("kind", "classes", "image_shape", "steps", "features", "mean", "std"))


if __name__ == "__main__":
    typer.run(main)
