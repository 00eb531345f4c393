"""Pictures of time series for the report: the wrongest of them, and predicted numbers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from quartet.artifacts.writing import write_table
from quartet.classification.confusion_files import write_confusion
from quartet.classification.report import most_confident_mistakes
from quartet.reporting.drawing.figures import save_figure
from quartet.reporting.sequence_figures import numbers_figure, series_figure
from quartet.sequences.baselines import number_baselines
from quartet.sequences.loading import Sequences, load_sequences, network_inputs
from quartet.sequences.number_scores import QUINTILES, number_scores, quintiles
from quartet.sequences.occlusion import nearest, occlusion
from quartet.sequences.training.goals import Number

SHOWN = 4  # series


def report_numbers(
    folder: Path, processed: Path, network: nn.Module, sequences: Sequences, outputs: Tensor, data: Mapping[str, Any]
) -> dict[str, float]:
    """Scores of predicted numbers and of their baselines; writes pictures and tables into `folder`."""
    goal = Number(data["target_mean"], data["target_std"], "mean_squared_error")
    actual, predicted = sequences.labels.cpu().numpy(), goal.numbers(outputs).cpu().numpy()
    scores = {**number_scores(actual, predicted), **number_baselines(processed, dict(data))}
    names = ("rmse", "baseline_ridge_rmse", "baseline_mean_rmse")
    errors = ", ".join(f"{name.replace('_', ' ')} {scores[name]:.4g}" for name in names)
    write_confusion(
        folder,
        quintiles(actual, data["quintiles"]),
        quintiles(predicted, data["quintiles"]),
        QUINTILES,
        f"Fifths of the training numbers; {errors}",
    )
    write_table(folder / "evaluation/predictions.csv", pd.DataFrame({"actual": actual, "predicted": predicted}))
    explained = f", R² {scores['r2']:.3f}" if "r2" in scores else ""
    figure = numbers_figure(actual, predicted, f"{len(actual)} test examples{explained}")
    save_figure(figure, folder / "evaluation/predictions.png")
    wrongest = torch.from_numpy(np.abs(predicted - actual)).argsort(descending=True)[:SHOWN].tolist()
    save_wrongest(
        folder / "evaluation/mistakes.png",
        (sequences, load_sequences(processed, "train").to(outputs.device)),
        data,
        wrongest,
        [lambda inputs: goal.numbers(network(inputs))] * len(wrongest),
        [f"predicted {predicted[i]:.4g}, true {actual[i]:.4g}" for i in wrongest],
        "{:.4g}".format,
        "The largest errors on the test split",
    )
    return scores


def report_series_mistakes(
    folder: Path, processed: Path, network: nn.Module, sequences: Sequences, logits: Tensor, data: Mapping[str, Any]
) -> None:
    """Draw the most confident mistakes of a classifier of series; without one, what it was least sure of."""
    classes, predicted = data["classes"], logits.argmax(dim=1)
    confidence = logits.softmax(dim=1).amax(dim=1)
    wrong = most_confident_mistakes(logits, sequences.labels)[:SHOWN].tolist()
    chosen = wrong or confidence.argsort()[:SHOWN].tolist()
    titles = []
    for index in chosen:
        truth, said = classes[sequences.labels[index]], classes[predicted[index]]
        titles.append(f"{truth}{f', not {said}' if wrong else ''} ({confidence[index]:.2f})")
    save_wrongest(
        folder / "evaluation/mistakes.png",
        (sequences, load_sequences(processed, "train").to(logits.device)),
        data,
        chosen,
        [_Probability(network, int(predicted[index])) for index in chosen],
        titles,
        lambda label: str(classes[int(label)]),
        "The most confident mistakes on the test split" if wrong else "No mistakes: the least sure answers",
    )


class _Probability:
    """The probability of one class, for series `(batch, steps, features)`."""

    def __init__(self, network: nn.Module, label: int):
        self.network, self.label = network, label

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.network(inputs).softmax(dim=1)[:, self.label]


def save_wrongest(
    path: Path,
    splits: tuple[Sequences, Sequences],
    data: Mapping[str, Any],
    chosen: Sequence[int],
    answers: Sequence[Callable[[Tensor], Tensor]],
    titles: Sequence[str],
    label_text: Callable[[float], str],
    title: str,
) -> None:
    """Draw series of the test split above those of training that are most like them, and where the network looked.

    Args:
        path: of the picture.
        splits: test and train.
        data: the card's.
        chosen: indices of test series.
        answers: for each of them, the number that the network says of series `(batch, steps, features)`.
        titles: of each.
        label_text: of the label of a training series.
        title: of the picture.
    """
    test, train = splits
    everything = [_one(train, index, data) for index in range(len(train))]
    shown = [_one(test, index, data) for index in chosen]
    others = [nearest(series, everything) for series in shown]
    looked = [occlusion(answer, series) for answer, series in zip(answers, shown, strict=True)]
    named = [f"nearest in training: {label_text(train.labels[index].item())}" for index in others]
    figure = series_figure(
        [series.cpu().numpy() for series in shown],
        [everything[index].cpu().numpy() for index in others],
        [weights.cpu().numpy() for weights in looked],
        list(zip(titles, named, strict=True)),
        f"{title}; the darker a stretch, the more the answer hangs on it",
    )
    save_figure(figure, path)


def _one(sequences: Sequences, index: int, data: Mapping[str, Any]) -> Tensor:
    """One series as the network reads it, `(steps, features)`."""
    values, _ = sequences.padded(torch.tensor([index], device=sequences.lengths.device))
    return network_inputs(values, data)[0]
