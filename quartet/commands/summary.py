"""`python -m quartet summary`: print the layers of the trained networks."""

from pkgutil import resolve_name
from typing import Annotated

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import clear_errors
from quartet.families import FAMILIES, FamilyKey


def summary(
    families: Annotated[list[FamilyKey] | None, typer.Argument(help="Which models; by default all.")] = None,
) -> None:
    """Print each trained network's layers: name, kind, output shape, parameters."""
    with clear_errors("summary"):
        from rich.console import Console
        from rich.table import Table

        from quartet.artifacts.model_store import read_card
        from quartet.artifacts.rebuilding import build_network
        from quartet.layers.layer_table import layer_table

        for key in families or list(FamilyKey):
            model, networks = paths.model(key.value), resolve_name(FAMILIES[key.value].networks)
            layers = layer_table(build_network(networks, read_card(model)["network"]))
            table = Table(title=f"{model}: {layers['parameters'].sum():,} parameters")
            for name in layers.columns:
                table.add_column(name, justify="right" if name == "parameters" else "left")
            for row in layers.itertuples(index=False):
                table.add_row(str(row.layer), str(row.kind), str(row.output), f"{row.parameters:,}")
            Console().print(table)
