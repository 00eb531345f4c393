"""Train the text-to-image model: `python -m stages.train_diffusion`.

Reads `data/processed/images`; writes `models/diffusion` and the training files in `reports/diffusion`.
"""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml")) -> None:
    """Train the text encoder and the UNet; keep the weights with the smallest validation loss, or the last."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_diffusion"):
        from quartet.families import FAMILIES
        from quartet.settings import read_settings
        from quartet.training.run import run_training

        settings = read_settings(params)
        run_training(
            FAMILIES["diffusion"], settings.training("diffusion"), seed=settings.seed, runtime=settings.runtime
        )


if __name__ == "__main__":
    typer.run(main)
