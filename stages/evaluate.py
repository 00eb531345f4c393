"""Score a trained model on the test split: `python -m stages.evaluate cnn` (or `rnn`, `lm`, `diffusion`).

Reads `models/<family>` and its data; writes `metrics.json`, the confusion files and pictures into `reports/<family>`.
This is the only stage that uses the test split.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quartet.families import FAMILIES, Family, FamilyKey

if TYPE_CHECKING:
    from quartet.settings import Settings


def main(
    family: Annotated[FamilyKey, typer.Argument(help="Which model to score.")],
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
) -> None:
    """Score one family's model on the held-out test data."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors(f"evaluate {family.value}"):
        import dataclasses
        import sys
        import tempfile

        from quartet.artifacts import paths
        from quartet.artifacts.stage_process import writing_stage
        from quartet.artifacts.stop_requests import ends_when_told
        from quartet.settings import read_settings
        from quartet.training.parallel import launch

        settings = read_settings(params)
        if launch.wants_others(settings.runtime):
            with ends_when_told():
                here = dataclasses.replace(settings.runtime, nodes=1, rendezvous=None)  # one machine is enough
                launch.launch(here, "stages.evaluate", sys.argv[1:])
        elif launch.is_first():
            with writing_stage(paths.report(family.value)):
                evaluate(FAMILIES[family.value], settings)
        else:
            with launch.silent(), tempfile.TemporaryDirectory(prefix="quartet-evaluation-") as unread:
                scores_of(FAMILIES[family.value], settings, Path(unread))


def evaluate(family: Family, settings: "Settings") -> None:
    """Score the model, write the files, and log them to a new run and the scores also to the training run."""
    import dataclasses
    from pkgutil import resolve_name

    from quartet.artifacts import paths
    from quartet.artifacts.shapes import info_shape
    from quartet.artifacts.verification import read_described, restoring
    from quartet.tracking.runs import tracked_run

    model, report, data = paths.model(family.key), paths.report(family.key), paths.processed(family.item)
    read_described(data / "info.json", info_shape(family.item), restoring(data, f"preprocess@{family.item}"))
    sections = {name: settings.section(name) for name in family.evaluation_reads}
    described: dict[str, object] = {"seed": settings.seed, "batch_size": settings.batch_size}
    own = sections.get(family.evaluation_section)
    if own is not None:
        described[family.key] = dataclasses.asdict(own)
    with tracked_run(f"evaluate-{family.key}", described, [model]) as run:
        from quartet.artifacts.model_store import read_card
        from quartet.artifacts.rebuilding import build_network
        from quartet.artifacts.writing import atomic_entries, rounded, write_json, write_table
        from quartet.layers.layer_table import layer_table

        run.wait_until_open()
        with atomic_entries(report) as written:
            scores = scores_of(family, settings, written)
            write_json(written / "metrics.json", rounded(scores))
            network = build_network(resolve_name(family.networks), read_card(model)["network"])
            write_table(written / "evaluation/layers.csv", layer_table(network))
        tested = {f"test_{name}": value for name, value in scores.items()}
        run.log_scores(tested)
        run.log_files([report / "confusion.png", report / "confusion_matrix.csv", report / "evaluation"])
        run.log_training_run_scores(family.key, tested)
        run.register_rebuild(family.key)
    print(f"{report / 'metrics.json'}: " + ", ".join(f"{name} {value:.5g}" for name, value in sorted(scores.items())))


def scores_of(family: Family, settings: "Settings", folder: Path) -> dict[str, float]:
    """The scores of the model; pictures and tables are written into `folder`.

    Where there are several processes, all of them call this, and large splits are spread over them.
    """
    import contextlib
    from pkgutil import resolve_name

    from quartet.training.devices import pick_device
    from quartet.training.parallel import launch
    from quartet.training.parallel.collectives import joined
    from quartet.training.seeding import seed_everything

    device, runtime = pick_device(settings.runtime), settings.runtime
    together = joined(device, runtime.process_timeout, whole_batches=True)
    with together if launch.is_member() else contextlib.nullcontext():
        seed_everything(settings.seed)
        sections = [settings.section(name) for name in family.evaluation_reads]
        how = {"batch_size": settings.batch_size, "seed": settings.seed, "device": device}
        return resolve_name(family.evaluation)(*sections, folder=folder, **how)


if __name__ == "__main__":
    typer.run(main)
