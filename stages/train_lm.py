"""Train the language model: `python -m stages.train_lm`.

Reads `data/processed/text`; writes `models/lm` and the training's part of `reports/lm`.
"""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml")) -> None:
    """Train the language model; keep the weights with the fewest bits per byte on the validation text, or the last."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_lm"):
        from quartet.params import read_params

        settings = read_params(params)  # before the slow imports
        from quartet.evaluation.training_run import run_training

        run_training("lm", "text", settings, language_plan)


def language_plan(params, folder, info, device):
    """Network, batches, loss and validation for the loop."""
    import torch
    from torch.nn import functional as F

    from quartet.datasets.batches import ShuffledBatches
    from quartet.datasets.span_corruption import with_holes
    from quartet.datasets.text import token_stream
    from quartet.datasets.text_windows import TrainingWindows
    from quartet.datasets.tokenizers import load_tokenizer
    from quartet.evaluation.lm import validation_scores
    from quartet.evaluation.training_run import Plan
    from quartet.networks.building import build_network
    from quartet.training.compiling import compiled
    from quartet.training.loop import Task

    settings = params.train_lm
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    windows = TrainingWindows(token_stream(folder, "train"), settings.context, params.seed, device)
    held_out, held_out_bytes = token_stream(folder, "validation"), info["counts"]["validation"]["bytes"]
    description = {
        "vocabulary_size": info["vocabulary_size"],
        "context": settings.context,
        "width": settings.width,
        "layers": settings.layers,
        "dropout": settings.dropout,
    }
    if settings.architecture in ("lstm", "gru"):
        description |= {"name": "recurrent-language-model", "cell": settings.architecture}
    else:
        description |= {"name": settings.architecture, "heads": settings.heads, "position": settings.position}
    if settings.architecture == "decoder":
        description |= {"ngrams": settings.ngrams, "convolution": settings.convolution}
    network = build_network(description).to(device)
    batches = ShuffledBatches(windows.count, settings.batch_size, params.seed, torch.device("cpu"))

    def batch_of(examples, generator):
        if settings.architecture != "encoder-decoder":
            return examples
        tokens, _ = examples
        read, writing, written = with_holes(tokens, settings, network.hole_tokens, generator)
        return read, writing, written

    def loss_of(network, batch):
        *inputs, targets = batch
        logits = network.fill(*inputs) if settings.architecture == "encoder-decoder" else network(*inputs)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def validate(network):
        return validation_scores(network, held_out, tokenizer, held_out_bytes, device)

    task = Task(
        network=network,
        examples_at=lambda number: windows.batch(batches.indices(number), batches.epoch(number)),
        batch_of=batch_of,
        loss_of=compiled(loss_of) if settings.compile else loss_of,
        validate=validate,
        steps=settings.steps,
        validate_every=settings.validate_every,
        replayable=settings.architecture == "decoder",
    )
    return Plan(task, description, ("tokenizer", "vocabulary_size"), {"tokenizer": folder / "tokenizer.json"})


if __name__ == "__main__":
    typer.run(main)
