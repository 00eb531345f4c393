"""Score a classifier of any input, and write its tables and pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from quartet.artifacts.writing import write_table
from quartet.classification.confusion_files import write_confusion
from quartet.classification.scores import calibration_error, class_report, classification_scores, reliability
from quartet.reporting.classification_figures import reliability_figure
from quartet.reporting.drawing.figures import save_figure
from quartet.reporting.image_sheets import image_sheet

if TYPE_CHECKING:
    from quartet.datasets.images import Images

MISTAKES, MISTAKES_IN_A_ROW = 10, 5


def report_classification(
    folder: Path, logits: Tensor, labels: Tensor, classes: list[str], what: str, *, temperature: float = 1.0
) -> dict[str, float]:
    """Write confusion files, class report and reliability diagram into `folder`; returns the scores.

    Probabilities are those at the `temperature`; `calibration_error_uncalibrated` is the error without it.
    """
    exact = logits.cpu().double()
    raw, probabilities = exact.softmax(dim=1).numpy(), (exact / temperature).softmax(dim=1).numpy()
    truth, predicted = labels.cpu().numpy(), probabilities.argmax(axis=1)
    scores = classification_scores(truth, probabilities)
    scores["calibration_error_uncalibrated"] = calibration_error(truth, raw)
    title = f"{what}: {scores['accuracy']:.2%} of {len(truth)} test examples right"
    write_confusion(folder, truth, predicted, classes, title)
    write_table(folder / "evaluation/classification_report.csv", class_report(truth, predicted, classes), index=True)
    figure = reliability_figure(reliability(truth, probabilities), scores["calibration_error"])
    save_figure(figure, folder / "evaluation/reliability.png")
    return scores


def report_mistakes(folder: Path, images: "Images", logits: Tensor, labels: Tensor, classes: list[str]) -> None:
    """Draw the most confident mistakes, if there are any.

    `images` is `(examples, channels, height, width)` uint8.
    """
    wrong, predicted = most_confident_mistakes(logits, labels), logits.argmax(dim=1)
    if len(wrong):
        titles = [f"{classes[labels[i]]},\nnot {classes[predicted[i]]}" for i in wrong]
        shown = images[wrong].cpu().numpy()
        rows = [slice(start, start + MISTAKES_IN_A_ROW) for start in range(0, len(wrong), MISTAKES_IN_A_ROW)]
        title, names = "The most confident mistakes on the test split", [""] * len(rows)
        figure = image_sheet([shown[row] for row in rows], names, [titles[row] for row in rows], title, cell=1.4)
        save_figure(figure, folder / "evaluation/mistakes.png")


def most_confident_mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """The indices of the misclassified examples with the highest confidence, in descending order."""
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    wrong = (predicted != labels).nonzero()[:, 0]
    return wrong[confidence[wrong].argsort(descending=True)][:MISTAKES]
