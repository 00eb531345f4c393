"""Every path of the pipeline, named once.

Stage inputs and outputs are relative to the current folder; what outlives an experiment's temporary copy
(tracking, checkpoints, locks) and paths in settings resolve against `$DVC_ROOT`, else the current folder.
"""

import os
from pathlib import Path

RAW = Path("data/raw")
PROCESSED = Path("data/processed")
MODELS = Path("models")
REPORTS = Path("reports")
REPORT_PAGE = REPORTS / "index.html"


def raw(item: str) -> Path:
    """What `download` leaves for `item`."""
    return RAW / item


def processed(item: str) -> Path:
    """What `preprocess` leaves for `item`."""
    return PROCESSED / item


def model(family: str) -> Path:
    """The folder of a family's trained model."""
    return MODELS / family


def report(family: str) -> Path:
    """The folder of a family's scores and pictures."""
    return REPORTS / family


def home() -> Path:
    """The repository that owns tracking, checkpoints and locks, also for an experiment in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def own(path: str) -> Path:
    """A path that a user wrote into a setting.

    Raises:
        ValueError: it begins with `~` and the name of no user.
    """
    try:
        return home() / Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from error


def checkpoints() -> Path:
    """Unfinished trainings, one folder per stage."""
    return home() / ".checkpoints"


def locks() -> Path:
    """Lock files shared by all experiments."""
    return home() / ".quartet" / "locks"
