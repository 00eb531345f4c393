"""Train the sequence classifier: `python -m stages.train_rnn`.

Reads `data/processed/sequences`; writes `models/rnn` and the training's part of `reports/rnn`.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml")) -> None:
    """Train the recurrent network; keep the weights with the best validation accuracy, or the last."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_rnn"):
        from quartet.params import read_params

        settings = read_params(params)  # before the slow imports
        from quartet.evaluation.training_run import run_training

        run_training("rnn", "sequences", settings, sequence_plan)


def sequence_plan(params, folder, info, device):
    """The plan for the splits of the processed sequences."""
    from quartet.datasets.sequences import load_sequences

    plan = plan_for(
        params, info, device, train=load_sequences(folder, "train"), held_out=load_sequences(folder, "validation")
    )
    files = {"tokenizer": folder / "tokenizer.json"} if info["input"] == "tokens" else {}
    return dataclasses.replace(plan, model_files=files)


def plan_for(params, info, device, *, train, held_out):
    """Network, batches, loss and validation for the loop.

    `train` and `held_out` are `Sequences`; `info` is what preprocessing says of them.
    """
    from torch.nn import functional as F

    from quartet.datasets.augment import augment
    from quartet.datasets.batches import ShuffledBatches
    from quartet.datasets.sequences import as_images, as_sequences, network_inputs
    from quartet.evaluation.predictions import VALIDATED, logits_over_sequences, validation_scores
    from quartet.evaluation.training_run import Plan
    from quartet.networks.building import build_network
    from quartet.training.loop import Task

    settings = params.train_rnn
    training, held_out = train.to(device), held_out.to(device)
    description = {
        "name": "recurrent",
        "vocabulary_size" if info["input"] == "tokens" else "features": info.get("vocabulary_size", info["features"]),
        "classes": len(info["classes"]),
        "cell": settings.cell,
        "hidden_size": settings.hidden_size,
        "layers": settings.layers,
        "bidirectional": settings.bidirectional,
        "pooling": settings.pooling,
        "dropout": settings.dropout,
        "token_dropout": settings.token_dropout if info["input"] == "tokens" else 0.0,
    }
    varying = len(training.lengths.unique()) > 1
    lengths = training.lengths if varying else None
    batches = ShuffledBatches(len(training), settings.batch_size, params.seed, device, lengths=lengths)

    def augmented(pixels, generator):
        images = augment(as_images(pixels.float() / 255, info), settings.augmentation, generator)
        return as_sequences(images * 255, info)

    def batch_of(examples, generator):
        (chosen,) = examples
        values, lengths = training.padded(chosen)
        if info["input"] == "pixels":
            values = augmented(values, generator)
        return network_inputs(values, info), lengths if varying else None, training.labels[chosen]

    def loss_of(network, batch):
        inputs, lengths, labels = batch
        return F.cross_entropy(network(inputs, lengths), labels)

    def validate(network):
        logits = logits_over_sequences(network, held_out, info, VALIDATED * settings.batch_size)
        return validation_scores(logits, held_out.labels)

    task = Task(
        network=build_network(description).to(device),
        examples_at=lambda number: (batches.indices(number),),
        batch_of=batch_of,
        loss_of=loss_of,
        validate=validate,
        steps=batches.steps_in(settings.epochs, settings.accumulate) if settings.epochs else settings.steps,
        validate_every=settings.validate_every,
    )
    keys = ("kind", "input", "classes", "image_shape", "order", "steps", "features", "vocabulary_size", "mean", "std")
    return Plan(task, description, tuple(key for key in keys if key in info))


if __name__ == "__main__":
    typer.run(main)
