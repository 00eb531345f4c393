"""`python -m quartet summary`: the layers of the trained networks."""

from enum import StrEnum
from typing import Annotated

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import clear_errors

Family = StrEnum("Family", list(paths.FAMILIES))


def summary(
    families: Annotated[list[Family] | None, typer.Argument(help="Which models; all if none is named.")] = None,
) -> None:
    """Print each trained network's layers: name, kind, output shape, parameters."""
    with clear_errors("summary"):
        from rich.console import Console
        from rich.table import Table

        from quartet.evaluation.layers import layers_of

        for family in families or list(Family):
            layers = layers_of(paths.model(family.value))
            table = Table(title=f"{paths.model(family.value)}: {layers['parameters'].sum():,} parameters")
            for name in layers.columns:
                table.add_column(name, justify="right" if name == "parameters" else "left")
            for row in layers.itertuples(index=False):
                table.add_row(row.layer, row.kind, row.output, f"{row.parameters:,}")
            Console().print(table)
