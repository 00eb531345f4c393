"""Train the perceptron: `python -m stages.train_mlp`."""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml")) -> None:
    """Train the perceptron."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_mlp"):
        from quartet.families import FAMILIES
        from quartet.settings import read_settings
        from quartet.training.run import run_training

        settings = read_settings(params)
        run_training(FAMILIES["mlp"], settings.training("mlp"), seed=settings.seed, runtime=settings.runtime)


if __name__ == "__main__":
    typer.run(main)
