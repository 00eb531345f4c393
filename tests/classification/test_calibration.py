"""The temperature of a classifier's probabilities."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

from quartet.classification.answers import answers_of
from quartet.classification.calibration import fit_temperature, temperature_of
from quartet.classification.report import report_classification


def overconfident(count=3_000, classes=5, factor=4.0, seed=0):
    """Labels drawn from the softmax of logits, and the logits times `factor`."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=random)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=random)[:, 0]
    return factor * logits, labels


@pytest.mark.parametrize("factor", [0.2, 1.0, 4.0])
def test_the_temperature_undoes_a_factor(factor):
    assert fit_temperature(*overconfident(factor=factor)) == pytest.approx(factor, rel=0.06)


def test_it_has_the_smallest_cross_entropy_of_scipys_search():
    logits, labels = overconfident(count=200)
    smoothing = 1 / 202

    def loss(temperature):
        return F.cross_entropy(logits.double() / temperature, labels, label_smoothing=smoothing).item()

    best = minimize_scalar(loss, bounds=(0.01, 100), method="bounded", options={"xatol": 1e-9}).x
    assert fit_temperature(logits, labels) == pytest.approx(best, rel=1e-4)


def test_without_a_mistake_the_probabilities_stay_below_one():
    labels = torch.arange(10) % 2
    logits = F.one_hot(labels, 2) * 3.0
    temperature = fit_temperature(logits, labels)
    assert (logits / temperature).softmax(dim=1).max() == pytest.approx(1 - 0.5 / 12, abs=1e-3)


def test_the_report_and_the_answers_are_at_the_temperature(tmp_path):
    logits, labels = overconfident()
    temperature, names = fit_temperature(logits, labels), list("abcde")
    scores = report_classification(tmp_path, logits, labels, names, "Network", temperature=temperature)
    assert scores["calibration_error"] < 0.03 < 0.2 < scores["calibration_error_uncalibrated"]
    answers = answers_of(logits[:50], names, temperature)
    expected = (logits[:50].double() / temperature).softmax(dim=1).numpy()
    assert [answer.name for answer in answers] == [names[label] for label in logits[:50].argmax(dim=1)]
    np.testing.assert_allclose([[answer.probabilities[name] for name in names] for answer in answers], expected)


def test_a_card_without_a_temperature_changes_nothing():
    assert temperature_of({"calibration": {"temperature": 0.7}}) == 0.7
    assert temperature_of({"calibration": {"spread": 2.0}}) == temperature_of({}) == 1.0
