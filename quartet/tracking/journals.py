"""The journals of a checkout: which are to be sent, and which stage wrote what."""

import sys
from pathlib import Path

from quartet.artifacts import paths
from quartet.artifacts.checksums import dvc_md5
from quartet.artifacts.writing import read_json
from quartet.tracking.journal import Journal


def unsent() -> list[Journal]:
    """The journals that MLflow does not have as a whole, in the order in which their stages began."""
    begun = []
    for journal in _journals():
        if journal.is_complete():
            journal.tidy()
        elif begin := journal.begin():
            begun.append((begin["milliseconds"], journal))
    return [journal for _, journal in sorted(begun, key=lambda each: each[0])]


def damaged() -> list[Journal]:
    """The journals of which nothing can be sent."""
    return [journal for journal in _journals() if journal.is_damaged()]


def training_of(family: str) -> dict[str, str]:
    """Which run trained the model in `models/<family>`: its `run_id`, or the id of its `journal`, or `{}`.

    `run.json` has the run's id; where MLflow did not answer then, the model's checksum leads to the journal.
    """
    run_json, model = paths.report(family) / "run.json", paths.model(family)
    if run_json.exists():
        try:
            run_id = read_json(run_json).get("run_id")
        except (ValueError, OSError) as error:
            print(f"tracking: {error}; here it only tells which run trained the model", file=sys.stderr, flush=True)
            run_id = None
        if run_id and isinstance(run_id, str):
            return {"run_id": run_id}
    found = journal_of_output(model, dvc_md5(model)) if model.exists() else None
    return {"journal": found.id} if found else {}


def training_run_id(family: str) -> str | None:
    """MLflow's id of the run that trained the model in `models/<family>`; None if MLflow does not have it yet."""
    training = training_of(family)
    if "journal" in training:
        return Journal(paths.tracking() / training["journal"]).sent().get("run_id")
    return training.get("run_id")


def journal_of_output(path: Path, checksum: str | None) -> Journal | None:
    """The latest journal of a stage that wrote this output."""
    found = [each for each in _journals() if each.outputs().get(f"dvc.out.{path.as_posix()}") == checksum]
    return max(found, key=lambda journal: journal.id, default=None) if checksum else None  # ids of a stage sort by time


def _journals() -> list[Journal]:
    return [Journal(folder) for folder in sorted(paths.tracking().glob("*")) if folder.is_dir()]
