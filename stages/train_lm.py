"""Train the language model: `python -m stages.train_lm`.

Reads `data/processed/text`; writes `models/lm` and the training files in `reports/lm`.
"""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml")) -> None:
    """Train the language model; keep the weights with the fewest bits per byte on the validation text, or the last."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_lm"):
        from quartet.families import FAMILIES
        from quartet.settings import read_settings
        from quartet.training.run import run_training

        settings = read_settings(params)
        run_training(FAMILIES["lm"], settings.training("lm"), seed=settings.seed, runtime=settings.runtime)


if __name__ == "__main__":
    typer.run(main)
