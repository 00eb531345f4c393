"""`python -m quartet promote FAMILY`: make the committed model the champion of the registry, if it is better."""

from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors
from quartet.families import FAMILIES, FamilyKey


def promote(family: Annotated[FamilyKey, typer.Argument(help="Which model.")]) -> None:
    """Register the model that HEAD's dvc.lock names; if its test score is better, make it champion and tag its commit.

    Exits with 3 where the champion stays.
    """
    with clear_errors("promote"):
        from quartet.tracking.registry import promote as promote_in_registry

        done = promote_in_registry(FAMILIES[family.value])
        typer.echo(done.message)
        if not done.champion:
            raise typer.Exit(3)
