"""`python -m quartet search FAMILY SETTING=RANGE…`: let Optuna try settings, each trial a DVC experiment."""

import re
from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors
from quartet.families import FAMILIES, FamilyKey


def search(
    family: Annotated[FamilyKey, typer.Argument(help="Which model to train.")],
    ranges: Annotated[
        list[str],
        typer.Argument(
            help="What to try: train_cnn.width=16..64, train_cnn.learning_rate=log:0.001..0.02 or "
            "train_cnn.activation=relu,gelu",
            metavar="SETTING=RANGE...",
        ),
    ],
    trials: Annotated[int, typer.Option(help="Finished trials that the search shall have.", min=1)] = 20,
    name: Annotated[
        str | None, typer.Option(help="The search; one of this name goes on. The family by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of Optuna's sampler.", min=0)] = 0,
) -> None:
    """Train with settings that Optuna proposes, to the best validation score; stop it and it goes on where it was.

    Each trial is the DVC experiment NAME-NUMBER, which `dvc exp apply` brings into the workspace, and a run in MLflow
    below the search's. Writes reports/searches/NAME/trials.csv and parallel.png. Several at once share the work.
    """
    with clear_errors("search"):
        from quartet.commands.search.ranges import parsed

        name = name or family.value
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise ValueError(f"--name: found {name!r}, allowed are small letters, digits and hyphens, a letter first")
        chosen = FAMILIES[family.value]
        space = parsed(ranges, chosen)  # before the slow imports
        from quartet.commands.search.study import run_search

        run_search(chosen, space, trials, name, seed)
