"""One training from start to what it leaves behind: model, history, curves, and the same on its MLflow run."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from quartet.artifacts import paths
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import rounded, write_json, write_table
from quartet.params import Params
from quartet.params.sections import Training
from quartet.reporting.figures import learning_curves, save_figure
from quartet.tracking.runs import Run, tracked_run
from quartet.training.checkpoints import Checkpoint
from quartet.training.devices import pick_device
from quartet.training.interruption import end_with_parent
from quartet.training.loop import Outcome, Task, train
from quartet.training.seeding import seed_everything


def begin(params: Params) -> torch.device:
    """Tie this process to its parent, seed, and choose the device."""
    end_with_parent()
    device = pick_device(params.runtime)
    seed_everything(params.seed)
    return device


def train_and_report(
    family: str,
    task: Task,
    params: Params,
    settings: Training,
    *,
    device: torch.device,
    network: Mapping[str, object],
    folder: Path,
    info: Mapping[str, object],
    card_keys: tuple[str, ...],
    model_files: Mapping[str, Path] | None = None,
) -> None:
    """Train, resuming an interrupted training; write `models/<family>` and its part of `reports/<family>`.

    Args:
        network: the arguments that rebuild the network, for the model's card.
        folder: the processed data, and `info` what its `info.json` holds; `card_keys` of it go into the card.
        model_files: files beside the model that serving needs.
    """
    described = {"seed": params.seed, **dataclasses.asdict(settings)}
    checkpoint = Checkpoint(f"train_{family}", {"settings": described, "data": info["sha256"], "device": device.type})
    with tracked_run(f"train-{family}", described, [folder]) as run:
        run.log_dataset(info["source"], folder, info["counts"])
        outcome = train(
            task, settings, seed=params.seed, device=device, checkpoint=checkpoint, on_validation=run.log_row
        )
        data = {key: info[key] for key in (*card_keys, "source", "sha256")}
        _leave_results(family, outcome, network, data, run, model_files or {})
    checkpoint.close(finished=True)


def _leave_results(
    family: str,
    outcome: Outcome,
    network: Mapping[str, object],
    data: Mapping[str, object],
    run: Run,
    model_files: Mapping[str, Path],
) -> None:
    model, report = paths.model(family), paths.report(family)
    best = rounded(outcome.best)
    training = {"steps": outcome.steps, "best_step": best.pop("step"), **best}
    save_model(model, outcome.weights, family=family, network=network, data=data, training=training)
    history = pd.DataFrame(outcome.history)
    write_table(report / "training.csv", history.round(8))
    write_json(report / "training.json", training)
    save_figure(learning_curves(history), report / "training/curves.png")
    run.write_run_json(report / "run.json")
    run.log_files([report / "training", report / "training.csv", model])
    run.log_outputs([model])
    run.log_model(family, model, model_files)
