"""A classifier's scores: by hand, and as scikit-learn's."""

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, classification_report

from quartet.classification.scores import balanced_accuracy, class_report, classification_scores

# The last four share a tenth, but lie in two fifteenths.
SURE_OF_THE_FIRST = np.array([0.55, 0.91, 0.91, 0.95, 1.0])


def test_scores_equal_those_computed_by_hand():
    probabilities = np.stack([SURE_OF_THE_FIRST, 1 - SURE_OF_THE_FIRST], axis=1)
    labels = np.array([0, 0, 1, 0, 0])
    scores = classification_scores(labels, probabilities)
    # Bins of a fifteenth: {0.55}, all right; {0.91, 0.91}, half right; {0.95, 1.0}, all right.
    error = (1 * abs(1 - 0.55) + 2 * abs(0.5 - 0.91) + 2 * abs(1 - 0.975)) / 5
    # The first class: precision 4/5, recall 1; the second: neither.
    macro_f1 = (2 * 0.8 / 1.8 + 0) / 2
    loss = -(math.log(0.55) + math.log(0.91) + math.log(0.09) + math.log(0.95) + math.log(1.0)) / 5
    expected = {"accuracy": 0.8, "balanced_accuracy": 0.5, "loss": loss, "macro_f1": macro_f1}
    assert scores == pytest.approx({**expected, "calibration_error": error, "test_examples": 5})


@pytest.mark.parametrize("shares", [[0.9, 0.1], [0.5, 0.3, 0.2], [0.6, 0.0, 0.4]], ids=str)
def test_balanced_accuracy_is_scikit_learns(shares):
    rng = np.random.default_rng(0)
    labels = rng.choice(len(shares), 200, p=shares)
    predicted = np.where(rng.random(200) < 0.7, labels, 0)
    assert balanced_accuracy(labels, predicted) == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_macro_f1_is_the_mean_over_the_classes_however_rare():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 0, 1, 1, 0, 2])
    of_classes = [2 * 3 / (4 + 4), 2 * 1 / (2 + 2), 1.0]  # 2 · right / (named + actual)
    assert classification_scores(labels, np.eye(3)[predicted])["macro_f1"] == pytest.approx(sum(of_classes) / 3)


def test_a_class_that_the_test_images_lack_counts_as_in_the_report():
    labels = np.array([0, 0, 1])
    scores = classification_scores(labels, np.eye(3)[labels])
    assert scores["macro_f1"] == pytest.approx(2 / 3)
    assert class_report(labels, labels, ["a", "b", "c"]).loc["macro avg", "f1-score"] == pytest.approx(2 / 3, abs=1e-6)


def test_the_class_report_is_scikit_learns():
    rng = np.random.default_rng(0)
    actual = rng.integers(0, 4, 60)
    predicted = np.where(rng.random(60) < 0.6, actual, rng.integers(0, 4, 60))
    classes = ["zero", "one", "two", "three", "never seen"]
    theirs = classification_report(
        actual, predicted, labels=range(5), target_names=classes, output_dict=True, zero_division=0
    )
    table = class_report(actual, predicted, classes)
    assert list(table.index) == list(theirs) and list(table.columns) == list(theirs["zero"])
    accuracy = theirs.pop("accuracy")
    for name, row in theirs.items():
        assert table.loc[name].to_dict() == pytest.approx(row, abs=1e-6), name
    assert table.loc["accuracy"].tolist() == pytest.approx([accuracy] * 3 + [60], abs=1e-6)


def test_a_class_that_is_named_like_an_average_keeps_its_row():
    actual, predicted = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2])
    table = class_report(actual, predicted, ["accuracy", "macro avg", "weighted avg"])
    assert list(table.index) == ["accuracy", "macro avg", "weighted avg"] * 2
    expected = class_report(actual, predicted, ["a", "b", "c"])
    assert table.to_numpy().tolist() == expected.to_numpy().tolist()
    assert table["recall"].tolist()[:4] == [0.5, 1.0, 1.0, 0.8]
