"""Train the sequence classifier: `python -m stages.train_rnn`.

Reads `data/processed/sequences`; writes `models/rnn` and the training files in `reports/rnn`.
"""

from pathlib import Path
from typing import Annotated

import typer


def main(params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml")) -> None:
    """Train the recurrent network; keep the weights with the best validation accuracy, or the last."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_rnn"):
        from quartet.families import FAMILIES
        from quartet.settings import read_settings
        from quartet.training.run import run_training

        settings = read_settings(params)
        run_training(FAMILIES["rnn"], settings.training("rnn"), seed=settings.seed, runtime=settings.runtime)


if __name__ == "__main__":
    typer.run(main)
