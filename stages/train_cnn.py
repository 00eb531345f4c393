"""Train the image classifier: `python -m stages.train_cnn`.

Reads `data/processed/images`; writes `models/cnn` and the training's part of `reports/cnn`.
"""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml")) -> None:
    """Train the convolutional network; keep its last weights, or those with the best validation accuracy."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_cnn"):
        from quartet.params import read_params

        settings = read_params(params)  # before the slow imports
        from quartet.evaluation.training_run import run_training

        run_training("cnn", "images", settings, image_plan)


def image_plan(params, folder, info, device):
    """The plan for the splits of the processed images."""
    from quartet.datasets.images import load_images
    from quartet.evaluation.image_training import image_training

    train, held_out = load_images(folder, "train"), load_images(folder, "validation")
    return image_training(params.train_cnn, info, device, seed=params.seed, train=train, held_out=held_out)


if __name__ == "__main__":
    typer.run(main)
