"""Every path of the pipeline.

Inputs and outputs of stages are relative to the current folder. Tracking, checkpoints and locks, which outlive an
experiment's temporary copy, and paths in settings are relative to `$DVC_ROOT` if it is set.
"""

import os
from pathlib import Path

OWN = Path("data/own")  # a user's data, which is not in git: a folder per item, on which its download depends
RAW = Path("data/raw")
PROCESSED = Path("data/processed")
MODELS = Path("models")
REPORTS = Path("reports")
PICTURE_INDEX, PICTURES = "pictures.csv", "pictures.zip"  # a user's raw pictures: what is said of each, and they
ATTRIBUTE = "attribute_"  # before the name of an attribute, in the head of that table
REPORT_PAGE = REPORTS / "index.html"


def raw(item: str) -> Path:
    """The folder that `download` writes for `item`."""
    return RAW / item


def processed(item: str) -> Path:
    """The folder that `preprocess` writes for `item`."""
    return PROCESSED / item


def model(family: str) -> Path:
    """The folder of a family's trained model."""
    return MODELS / family


def report(family: str) -> Path:
    """The folder of a family's scores and pictures."""
    return REPORTS / family


def repository() -> Path:
    """The repository that holds tracking, checkpoints and locks; an experiment in a temporary copy uses it too."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def user_path(path: str) -> Path:
    """Resolve a path that a user wrote into a setting.

    Raises:
        ValueError: it begins with `~NAME`, and there is no such user.
    """
    try:
        return repository() / Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from error


def checkpoints() -> Path:
    """Unfinished trainings, one folder per stage."""
    return repository() / ".checkpoints"


def tracking() -> Path:
    """The journals of runs that MLflow does not have yet, one folder per run."""
    return repository() / ".tracking"


def verified() -> Path:
    """Which large files were compared with their checksums."""
    return repository() / ".quartet" / "verified"


def locks() -> Path:
    """Lock files shared by all experiments."""
    return repository() / ".quartet" / "locks"
