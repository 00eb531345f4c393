"""`python -m quartet promote FAMILY`: make the committed model the champion in the registry, if it is better."""

from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors
from quartet.families import FAMILIES, FamilyKey


def promote(family: Annotated[FamilyKey, typer.Argument(help="Which model.")]) -> None:
    """Register the model in HEAD's dvc.lock; if its test score is better, make it champion and tag the commit.

    Exits with 3 if the present champion stays.
    """
    with clear_errors("promote"):
        from quartet.tracking.registry import promote as promote_in_registry

        done = promote_in_registry(FAMILIES[family.value])
        typer.echo(done.message)
        if not done.champion:
            raise typer.Exit(3)
