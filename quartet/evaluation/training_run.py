"""One training from start to what it leaves behind: model, history, curves, and the same on its MLflow run.

What imports torch is imported late, when the run's recorder is under way with imports of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts import paths
from quartet.artifacts.writing import read_json, rounded, write_json, write_table
from quartet.params import Params
from quartet.tracking.runs import Run, tracked_run
from quartet.training.interruption import end_with_parent

if TYPE_CHECKING:
    import torch

    from quartet.training.loop import Outcome, Task


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
    settings, folder = getattr(params, f"train_{family}"), paths.processed(item)
    info = read_json(folder / "info.json")
    described = {"seed": params.seed, **dataclasses.asdict(settings)}
    with tracked_run(f"train-{family}", described, [folder]) as run:
        run.log_dataset(info["source"], folder, info["counts"])
        import numpy
        import torch

        from quartet.training.checkpoints import Checkpoint
        from quartet.training.devices import description_of, pick_device
        from quartet.training.loop import train
        from quartet.training.seeding import seed_everything

        device = pick_device(params.runtime)
        seed_everything(params.seed)
        plan = plan_of(params, folder, info, device)
        determined_by = {
            "settings": described,
            "data": info,
            "device": description_of(device),
            "versions": [torch.__version__, numpy.__version__],
        }
        checkpoint = Checkpoint(f"train_{family}", determined_by)
        outcome = train(
            plan.task, settings, seed=params.seed, device=device, checkpoint=checkpoint, on_validation=run.log_row
        )
        _leave_results(family, outcome, plan, info, run)
    checkpoint.close(finished=True)


def _leave_results(family: str, outcome: Outcome, plan: Plan, info: Mapping[str, object], run: Run) -> None:
    import pandas as pd

    from quartet.artifacts.model_store import save_model
    from quartet.reporting.figures import learning_curves, save_figure

    model, report = paths.model(family), paths.report(family)
    kept = rounded(outcome.kept)
    training = {"steps": outcome.steps, "kept_step": kept.pop("step"), **kept}
    data = {key: info[key] for key in (*plan.card_keys, "source", "sha256")}
    save_model(model, outcome.weights, family=family, network=plan.network, data=data, training=training)
    run.log_outputs([model])
    run.log_model(family, model, plan.model_files)  # before the pictures, which are drawn meanwhile
    history = pd.DataFrame(outcome.history)
    write_table(report / "training.csv", history.round(8))
    write_json(report / "training.json", training)
    save_figure(learning_curves(history, training["kept_step"]), report / "training/curves.png")
    run.write_run_json(report / "run.json")
    run.log_files([report / "training", report / "training.csv", model])
