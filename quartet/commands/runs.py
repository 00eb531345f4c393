"""`python -m quartet runs [REVISION]`: the MLflow runs behind a commit, an experiment or the workspace."""

from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors
from quartet.families import FAMILIES


def runs(
    revision: Annotated[
        str | None, typer.Argument(help="A commit, branch, tag or experiment; by default the workspace.")
    ] = None,
    ui: Annotated[
        str, typer.Option(help="Address of MLflow's UI; ignored if MLFLOW_TRACKING_URI is a server.")
    ] = "http://127.0.0.1:5000",
) -> None:
    """List the runs that made the models and scores, tab-separated; includes stages that DVC took from its cache."""
    with clear_errors("runs"):
        from quartet.tracking.lookup import runs_of_revision

        found = runs_of_revision(revision, FAMILIES, ui)
        if not found:
            raise ValueError(
                f"{revision or 'the workspace'} has no tracked runs: reports/<family>/run.json is missing, "
                "or this MLflow does not have the runs in it"
            )
        typer.echo("stage\trun\tstatus\tstarted\taddress")
        for run in found:
            typer.echo("\t".join([run.stage, run.run_id, run.status, run.started, run.address]))
