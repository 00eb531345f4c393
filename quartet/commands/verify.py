"""`python -m quartet verify [FAMILY ...]`: rebuild the committed pipeline elsewhere, and compare every output."""

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors
from quartet.families import FAMILIES, FamilyKey


def verify(
    families: Annotated[list[FamilyKey] | None, typer.Argument(help="Which branches; all if none is named.")] = None,
) -> None:
    """Run every stage of the last commit anew in a temporary clone; compare each output with dvc.lock.

    Exits with 0 if all are the same bytes; with 3 if some differ, but no score by more than another kind of processor
    explains; with 1 if a score does, or if the rebuild fails.
    """
    clone_of = tempfile.TemporaryDirectory(prefix="quartet-verify-", ignore_cleanup_errors=True)
    with clear_errors("verify"), _ended_as_by_ctrl_c(), clone_of as name:
        from quartet.tracking.rebuilds import clone_commit, print_outputs, print_scores, rebuild

        keys = [family.value for family in families or []]
        clone = Path(name) / "clone"
        clone_commit(Path.cwd(), clone)
        rebuild(clone, [f"evaluate@{key}" for key in keys])
        if print_outputs(clone):
            raise typer.Exit(1 if print_scores(clone, keys or FAMILIES) else 3)


@contextlib.contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Within the block, SIGTERM also ends the rebuild and removes the clone."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
