"""Run a training and write its results: model, history and curves, also to its MLflow run.

Modules that import torch are imported late, so that the recorder process can import MLflow at the same time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput
from quartet.artifacts.shapes import info_shape
from quartet.artifacts.stage_process import writing_stage
from quartet.artifacts.stop_requests import ends_when_told
from quartet.artifacts.unfinished import remove_debris
from quartet.artifacts.verification import read_described, restoring
from quartet.artifacts.writing import atomic_entries, rounded, write_json, write_table
from quartet.tracking.runs import Run, tracked_run
from quartet.training.parallel import launch
from quartet.training.start_weights import read_start, say_if_moved, take_weights

if TYPE_CHECKING:
    from quartet.families import Family
    from quartet.params.shared import Runtime, Training
    from quartet.training.task import Outcome, Task


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a family provides for a training.

    Attributes:
        task: for the training loop.
        description: the arguments that rebuild the network, for the model's card.
        card_keys: the keys of the data's `info.json` that go into the card.
        model_files: files that serving needs besides the model, by name.
        draw: writes pictures of the training into a folder.
        calibrate: fits to the validation split what the trained network's answers need to mean what they say, such as
            a temperature; it goes into the card.
        measure: scores of the trained network, for `training.json` and the card, that no validation takes.
        foreign: the tensors of a start model, given its manifest with the description of its `network` and what its
            card says of its `data`, that fit here by shape but mean something else, such as the embedding of other
            tokens.
    """

    task: Task
    description: Mapping[str, object]
    card_keys: tuple[str, ...]
    model_files: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    draw: Callable[[Path], None] = lambda folder: None
    calibrate: Callable[[Any], Mapping[str, float]] = lambda network: {}
    measure: Callable[[Any], Mapping[str, float]] = lambda network: {}
    foreign: Callable[[Mapping[str, Any]], Collection[str]] = lambda start: ()


def run_training(family: Family, settings: Training, *, seed: int, runtime: Runtime) -> None:
    """Train on the family's processed data, resuming an interrupted training.

    Writes `models/<family>` and the training's part of `reports/<family>`. With several processes in the settings, it
    starts them, and each comes back here; the first one writes.
    """
    if launch.wants_others(runtime):
        with ends_when_told():
            launch.launch(runtime, f"stages.{family.training_section}", sys.argv[1:])
    elif launch.is_first():
        with writing_stage(paths.model(family.key)):
            remove_debris(paths.REPORTS)
            _train(family, settings, seed=seed, runtime=runtime)
    else:
        with launch.silent():
            _train(family, settings, seed=seed, runtime=runtime)


def _train(family: Family, settings: Training, *, seed: int, runtime: Runtime) -> None:
    folder, brought = paths.processed(family.item), paths.raw("weights") / family.key
    remedy = restoring(folder, f"preprocess@{family.item}")
    info = read_described(folder / "info.json", info_shape(family.item), remedy, unread=("test",))
    start = read_start(settings.starts_from, brought)
    described = {"seed": seed, **dataclasses.asdict(settings)}
    if start:
        described["start_sha256"] = start["sha256"]
    with tracked_run(f"train-{family.key}", described, [folder]) as run:
        run.log_dataset(info["source"], folder, info["counts"])
        import numpy
        import torch

        from quartet.training.checkpoints import Checkpoint, NoCheckpoint, code_checksum
        from quartet.training.devices import describe_device, is_fast_in_bfloat16, pick_device
        from quartet.training.loop import train
        from quartet.training.parallel.collectives import check_same, joined
        from quartet.training.parallel.machines import watched_machines
        from quartet.training.parallel.share import processes
        from quartet.training.seeding import seed_everything

        device, first = pick_device(runtime), launch.is_first()
        group = joined(device, runtime.process_timeout) if launch.is_member() else contextlib.nullcontext()
        with group:
            seed_everything(seed)
            plan = resolve_name(family.plan)(settings, seed=seed, folder=folder, info=info, device=device)
            if start:
                say_if_moved(start)
                start = take_weights(plan.task.network, start, brought, plan.foreign(start))
            determined_by = {
                "settings": described,
                "data": info,
                "device": [describe_device(device), is_fast_in_bfloat16(device)],  # which `precision: auto` goes by
                "versions": [torch.__version__, numpy.__version__],
            }
            if settings.batch_size < processes():
                raise BadInput(
                    f"{family.training_section}.batch_size: found {settings.batch_size}, which leaves some of "
                    f"{processes()} processes without an example"
                )
            if processes() > 1:
                check_same({**determined_by, "code": code_checksum()})
            checkpoint: Checkpoint | NoCheckpoint = NoCheckpoint()
            if first:
                checkpoint = Checkpoint(family.training_section, determined_by, runtime.checkpoint_seconds)
            with watched_machines(run.log_scores):
                outcome = train(
                    plan.task,
                    settings,
                    seed=seed,
                    device=device,
                    checkpoint=checkpoint,
                    on_validation=run.log_row,
                    quiet=not first,
                )
        if first:
            _write_results(family, outcome, plan, info, start, run)
    checkpoint.close(finished=True)


def _write_results(
    family: Family, outcome: Outcome, plan: Plan, info: Mapping[str, Any], start: Mapping[str, Any] | None, run: Run
) -> None:
    import pandas as pd

    from quartet.artifacts.model_store import save_model
    from quartet.reporting.drawing.figures import learning_curves, save_figure

    model, report = paths.model(family.key), paths.report(family.key)
    kept = rounded(outcome.kept)
    training = {"steps": outcome.steps, "kept_step": kept.pop("step"), **kept}
    if outcome.rollbacks:
        training["rollbacks"] = outcome.rollbacks
    if outcome.processes > 1:
        training["processes"] = outcome.processes
    data = {key: info[key] for key in (*plan.card_keys, "source", "sha256")}
    network = plan.task.network.eval()
    network.load_state_dict(outcome.weights)
    if measured := rounded(plan.measure(network)):
        training |= measured
        run.log_scores(measured)
    about: dict[str, Any] = {"data": data, "calibration": plan.calibrate(network), "start": start}
    about["files"] = plan.model_files.values()
    save_model(model, outcome.weights, family=family.key, network=plan.description, training=training, **about)
    run.log_outputs([model])
    run.log_model(family, model, plan.model_files)  # early, so that the recorder works while the pictures are drawn
    history = pd.DataFrame(outcome.history)
    with atomic_entries(report) as written:
        write_table(written / "training.csv", history.round(8))
        write_json(written / "training.json", training)
        save_figure(learning_curves(history, int(training["kept_step"])), written / "training/curves.png")
        plan.draw(written / "training")
        run.write_run_json(written / "run.json")
    run.log_files([report / "training", report / "training.csv", model])
