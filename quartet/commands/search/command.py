"""`python -m quartet search FAMILY SETTING=RANGE…`: search settings with Optuna; each trial is a DVC experiment."""

import os
import re
from typing import Annotated

import typer

from quartet.artifacts.errors import BadInput, clear_errors
from quartet.families import FAMILIES, FamilyKey

VARIABLE = "QUARTET_SEARCH_STORAGE"
GRACE = 60.0


def search(
    family: Annotated[FamilyKey, typer.Argument(help="Which model to train.")],
    ranges: Annotated[
        list[str],
        typer.Argument(
            help="What to try, for example train_cnn.width=16..64, train_lm.width=64..256:32 in steps of 32, "
            "train_cnn.learning_rate=log:0.001..0.02 or train_cnn.activation=relu,gelu.",
            metavar="SETTING=RANGE...",
        ),
    ],
    trials: Annotated[int, typer.Option(help="Total number of finished trials.", min=1)] = 20,
    name: Annotated[
        str | None, typer.Option(help="Name of the search, by default the family; an existing search is continued.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of Optuna's sampler.", min=0)] = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Address of a PostgreSQL database, postgresql://USER:PASSWORD@HOST/DATABASE: all machines that run "
            "this search there share its trials. By default a file in this checkout. Put it into the environment: "
            "other users of a machine can read command lines.",
            envvar=VARIABLE,
            show_default=False,
        ),
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            help="With --storage: seconds without a sign of life after which others run a trial again.",
            min=1,
            show_default=f"{GRACE:g}",
        ),
    ] = None,
) -> None:
    """Search for the settings with the best validation score, with Optuna. Run it again to continue where it stopped.

    Each trial is the DVC experiment NAME-NUMBER, for `dvc exp apply`, and an MLflow run below that of the search.
    Writes reports/searches/NAME/trials.csv and parallel.png. Several processes can share a search, and several machines
    with --storage.
    """
    if storage:
        os.environ[VARIABLE] = storage  # no message shows the password that is in it
    with clear_errors("search"):
        from quartet.commands.search.ranges import parse

        name = name or family.value
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise BadInput(f"--name: found {name!r}; use lower-case letters, digits and hyphens, a letter first")
        if grace is not None and not storage:
            raise BadInput("--grace: is for a search that machines share; give --storage too")
        chosen = FAMILIES[family.value]
        space = parse(ranges, chosen)  # before the slow imports
        from quartet.commands.search.study import run_search

        run_search(chosen, space, trials, name, seed, storage or None, GRACE if grace is None else grace)
