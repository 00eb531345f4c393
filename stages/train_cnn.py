"""Train the image classifier: `python -m stages.train_cnn`.

Reads `data/processed/images`; writes `models/cnn` and the training files in `reports/cnn`.
"""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml")) -> None:
    """Train the convolutional network; keep the last weights, or those with the best validation accuracy."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_cnn"):
        from quartet.families import FAMILIES
        from quartet.settings import read_settings
        from quartet.training.run import run_training

        settings = read_settings(params)
        run_training(FAMILIES["cnn"], settings.training("cnn"), seed=settings.seed, runtime=settings.runtime)


if __name__ == "__main__":
    typer.run(main)
