"""One training from start to what it leaves behind: model, history, curves, and the same on its MLflow run."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import torch

from quartet.artifacts import paths
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import read_json, rounded, write_json, write_table
from quartet.params import Params
from quartet.reporting.figures import learning_curves, save_figure
from quartet.tracking.runs import Run, tracked_run
from quartet.training.checkpoints import Checkpoint
from quartet.training.devices import pick_device
from quartet.training.interruption import end_with_parent
from quartet.training.loop import Outcome, Task, train
from quartet.training.seeding import seed_everything


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training stage prepares.

    Attributes:
        task: for the loop.
        network: the arguments that rebuild the network, for the model's card.
        card_keys: what of the data's `info.json` goes into the card.
        model_files: files beside the model that serving needs.
    """

    task: Task
    network: Mapping[str, object]
    card_keys: tuple[str, ...]
    model_files: Mapping[str, Path] = dataclasses.field(default_factory=dict)


def run_training(
    family: str, item: str, params: Params, plan_of: Callable[[Params, Path, dict, torch.device], Plan]
) -> None:
    """Train on `data/processed/<item>`, resuming an interrupted training.

    Writes `models/<family>` and its part of `reports/<family>`. `plan_of` takes the settings, the processed data's
    folder, what its `info.json` holds, and the device.
    """
    end_with_parent()
    device = pick_device(params.runtime)
    seed_everything(params.seed)
    settings, folder = getattr(params, f"train_{family}"), paths.processed(item)
    info = read_json(folder / "info.json")
    plan = plan_of(params, folder, info, device)
    described = {"seed": params.seed, **dataclasses.asdict(settings)}
    checkpoint = Checkpoint(f"train_{family}", {"settings": described, "data": info["sha256"], "device": device.type})
    with tracked_run(f"train-{family}", described, [folder]) as run:
        run.log_dataset(info["source"], folder, info["counts"])
        outcome = train(
            plan.task, settings, seed=params.seed, device=device, checkpoint=checkpoint, on_validation=run.log_row
        )
        _leave_results(family, outcome, plan, info, run)
    checkpoint.close(finished=True)


def _leave_results(family: str, outcome: Outcome, plan: Plan, info: Mapping[str, object], run: Run) -> None:
    model, report = paths.model(family), paths.report(family)
    best = rounded(outcome.best)
    training = {"steps": outcome.steps, "best_step": best.pop("step"), **best}
    data = {key: info[key] for key in (*plan.card_keys, "source", "sha256")}
    save_model(model, outcome.weights, family=family, network=plan.network, data=data, training=training)
    history = pd.DataFrame(outcome.history)
    write_table(report / "training.csv", history.round(8))
    write_json(report / "training.json", training)
    save_figure(learning_curves(history), report / "training/curves.png")
    run.write_run_json(report / "run.json")
    run.log_files([report / "training", report / "training.csv", model])
    run.log_outputs([model])
    run.log_model(family, model, plan.model_files)
