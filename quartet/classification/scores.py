"""Scores of a classifier over a whole split."""

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

CALIBRATION_BINS = 15


def classification_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """`accuracy`, `balanced_accuracy`, `loss` (cross-entropy, nats), `macro_f1`, `calibration_error`, `test_examples`.

    Args:
        labels: `(examples,)`.
        probabilities: `(examples, classes)`, rows summing to one.
    """
    predicted = probabilities.argmax(axis=1)
    of_label = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": balanced_accuracy(labels, predicted),
        "loss": float(-np.log(np.maximum(of_label, 1e-12)).mean()),
        "macro_f1": macro_f1(labels, predicted, probabilities.shape[1]),
        "calibration_error": calibration_error(labels, probabilities),
        "test_examples": len(labels),
    }


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """The mean recall of the classes that occur: chance is one in their number, however unequal they are."""
    counts = np.bincount(labels)
    right = np.bincount(labels[predicted == labels], minlength=len(counts))
    return float((right[counts > 0] / counts[counts > 0]).mean())


def macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """The mean F1 over all classes; a class that neither occurs nor is predicted counts as 0, as in `class_report`."""
    return float(f1_score(labels, predicted, labels=range(classes), average="macro", zero_division=0))


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): |accuracy − confidence| over 15 bins of confidence."""
    bins = reliability(labels, probabilities)
    return float((bins["count"] * (bins["accuracy"] - bins["confidence"]).abs()).sum() / bins["count"].sum())


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Mean `confidence`, `accuracy` and `count` of each non-empty bin of confidence."""
    confidence = probabilities.max(axis=1)
    table = pd.DataFrame({"confidence": confidence, "accuracy": probabilities.argmax(axis=1) == labels})
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    grouped = table.groupby(bins)
    return grouped.mean().assign(count=grouped.size())


def confusion_rows(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """One `actual,predicted` row of class names per example, for DVC's `confusion` plot template."""
    names = np.asarray(classes, dtype=object)
    return pd.DataFrame({"actual": names[actual], "predicted": names[predicted]})


def confusion_counts(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """The confusion matrix: one row per actual class, one column per predicted class."""
    counts = confusion_matrix(actual, predicted, labels=range(len(classes)))
    return pd.DataFrame(counts, index=pd.Index(classes, name="actual"), columns=classes)


def class_report(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class, like scikit-learn's `classification_report`.

    The last three rows are `accuracy` (the accuracy in every column except `support`), `macro avg` and `weighted avg`.
    """

    def scores(average: str | None) -> tuple:
        labels = np.arange(len(classes))
        return precision_recall_fscore_support(actual, predicted, labels=labels, average=average, zero_division=0)

    accuracy, total = float((actual == predicted).mean()), float(len(actual))
    rows = [*zip(*scores(None), strict=True), (accuracy, accuracy, accuracy, total)]
    rows += [(*scores(average)[:3], total) for average in ("macro", "weighted")]
    names = pd.Index([*classes, "accuracy", "macro avg", "weighted avg"], name="class")
    return pd.DataFrame(rows, names, ["precision", "recall", "f1-score", "support"], dtype=float).round(6)
