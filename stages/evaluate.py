"""Score a trained model on the test split: `python -m stages.evaluate cnn` (or `rnn`, `lm`, `diffusion`).

Reads `models/<family>` and its data; writes `metrics.json`, the confusion files and pictures into `reports/<family>`.
The only stage that opens the test split.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Family(StrEnum):
    cnn = "cnn"
    rnn = "rnn"
    lm = "lm"
    diffusion = "diffusion"


def main(
    family: Annotated[Family, typer.Argument(help="Which model to score.")],
    params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml"),
) -> None:
    """Score one family's model on the held-out test data."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors(f"evaluate {family.value}"):
        from quartet.params import read_params
        from quartet.training.interruption import end_with_parent

        end_with_parent()
        evaluate(family, read_params(params))


def evaluate(family: Family, params) -> None:
    """Score, write the files, log them on a run of its own and the scores on the training run."""
    import dataclasses
    import shutil

    from quartet.artifacts import paths
    from quartet.tracking.runs import tracked_run

    model, report = paths.model(family.value), paths.report(family.value)
    shutil.rmtree(report / "evaluation", ignore_errors=True)  # no picture of an earlier model stays
    settings = {"seed": params.seed, **dataclasses.asdict(params.evaluate)}
    with tracked_run(f"evaluate-{family.value}", settings, [model]) as run:
        from quartet.artifacts.writing import write_table
        from quartet.evaluation.layers import layers_of
        from quartet.reporting.report_files import write_metrics
        from quartet.training.devices import pick_device
        from quartet.training.seeding import seed_everything

        device = pick_device(params.runtime)
        seed_everything(params.seed)
        run.opened()
        scores = evaluation_of(family)(params, device)
        write_metrics(report, scores)
        write_table(report / "evaluation/layers.csv", layers_of(model))
        tested = {f"test_{name}": value for name, value in scores.items()}
        run.log_scores(tested)
        run.log_files([report / "confusion.png", report / "confusion_matrix.csv", report / "evaluation"])
        run.log_training_run_scores(report / "run.json", tested)
        run.register_rebuild(family.value)
    print(f"{report / 'metrics.json'}: " + ", ".join(f"{name} {value:.5g}" for name, value in sorted(scores.items())))


def evaluation_of(family: Family):
    """The function that scores a family."""
    if family is Family.cnn:
        from quartet.evaluation.cnn import evaluate
    elif family is Family.rnn:
        from quartet.evaluation.rnn import evaluate
    elif family is Family.lm:
        from quartet.evaluation.lm import evaluate
    else:
        from quartet.evaluation.diffusion import evaluate
    return evaluate


if __name__ == "__main__":
    typer.run(main)
