"""`python -m quartet verify [FAMILY ...]`: rebuild the committed pipeline elsewhere, and compare every output."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors
from quartet.artifacts.stop_requests import ends_when_told
from quartet.families import FAMILIES, FamilyKey


def verify(
    families: Annotated[list[FamilyKey] | None, typer.Argument(help="Which branches; all if none is named.")] = None,
) -> None:
    """Run every stage of the last commit anew in a temporary clone; compare each output with dvc.lock.

    Exits with 0 if all are the same bytes; with 3 if some differ, but no score by more than another kind of processor
    explains; with 1 if a score does, or if the rebuild fails.
    """
    with clear_errors("verify"), ends_when_told(), tempfile.TemporaryDirectory(prefix="quartet-verify-") as name:
        from quartet.tracking.rebuilds import clone_commit, print_outputs, print_scores, rebuild

        keys = [family.value for family in families or []]
        clone = Path(name) / "clone"
        clone_commit(Path.cwd(), clone)
        rebuild(clone, [f"evaluate@{key}" for key in keys])
        if print_outputs(clone):
            raise typer.Exit(1 if print_scores(clone, keys or FAMILIES) else 3)
