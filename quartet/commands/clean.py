"""`python -m quartet clean`: what interrupted runs left, and how to be rid of it."""

from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed; without it, nothing is removed.")] = False,
) -> None:
    """List what interrupted runs left: unfinished files, and checkpoints of unfinished trainings.

    What running stages use is not listed, nor what commands left beside an --out in another folder. Data, models, DVC's
    cache and MLflow's runs are never touched.
    """
    with clear_errors("clean"):
        import datetime

        from quartet.artifacts import paths
        from quartet.artifacts.unfinished import debris, remove_debris
        from quartet.training.old_checkpoints import discard, unfinished_trainings

        of_reports = [paths.REPORTS, *paths.REPORTS.glob("*"), *(paths.REPORTS / "searches").glob("*")]
        places = [Path(), paths.RAW, paths.PROCESSED, paths.MODELS, *of_reports]
        left = debris(places)
        stages = sorted(paths.checkpoints().glob("*"))
        trainings = [training for stage in stages for training in unfinished_trainings(stage)]
        for path in left:
            typer.echo(f"{path}: left by a run that was killed")
        for training in trainings:
            saved = datetime.datetime.fromtimestamp(training.modified).isoformat(" ", "minutes")
            place = training.folder.relative_to(paths.repository())
            typer.echo(f"{place}: an unfinished training, last saved {saved}, {training.bytes / 1e6:.1f} MB")
        if not left and not trainings:
            typer.echo("interrupted runs have left nothing")
        elif yes:
            remove_debris(*places)
            for training in trainings:
                discard(training)
            typer.echo("removed")
        else:
            typer.echo("`python -m quartet clean --yes` removes all of it; an unfinished training then begins anew")
