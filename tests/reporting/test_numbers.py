"""Numbers on the report: sensible digits, intervals, changes since an earlier commit."""

import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from quartet.artifacts.writing import write_json
from quartet.reporting.page.history import previous_metrics
from quartet.reporting.page.numbers import balanced_interval, format_number, interval_of, wilson_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.997214, "0.997"),
        (1.5722, "1.572"),
        (36.993, "37.0"),
        (5247232, "5,247,232"),
        (1234.5, "1,234"),
        (9_710_091_996.4, "9.71e+09"),
        (0.0059, "0.0059"),
        (0.0, "0.000"),
        (-0.25, "-0.250"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_have_sensible_digits(value, text):
    assert format_number(value) == text


@given(st.integers(1, 2000), st.data())
def test_the_interval_of_a_share_is_scipys(count, data):
    right = data.draw(st.integers(0, count))
    theirs = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson_interval(right / count, count) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_interval_of_a_balanced_accuracy_holds_the_truth_19_times_in_20():
    assert balanced_interval([0.8], [25]) == pytest.approx(wilson_interval(0.8, 25))
    rng = np.random.default_rng(0)
    truth, counts = [0.95, 0.6], [200, 12]  # a common class and a rare one
    right = rng.binomial(counts, truth, size=(2000, 2))
    intervals = np.array([balanced_interval(shares, counts) for shares in (right / counts).tolist()])
    held = (intervals[:, 0] <= np.mean(truth)) & (np.mean(truth) <= intervals[:, 1])
    assert 0.93 <= held.mean() <= 0.98


def test_scores_have_the_interval_of_their_count_or_spread():
    metrics = {"accuracy": 0.9, "test_examples": 100, "fid_ratio": 1.1, "fid_ratio_spread": 0.1, "loss": 0.2}
    assert interval_of("accuracy", metrics) == wilson_interval(0.9, 100)
    assert interval_of("fid_ratio", metrics) == pytest.approx((0.904, 1.296), abs=1e-3)
    assert interval_of("loss", metrics) is None
    # The spread of single trainings says little of their mean.
    assert interval_of("cas_accuracy", {"cas_accuracy": 0.99, "cas_accuracy_spread": 0.01}) is None


def test_metrics_are_compared_with_the_last_commit_that_had_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "metrics.json"

    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.email=a@b", "-c", "user.name=n", *arguments], check=True, capture_output=True
        )

    def current():
        return previous_metrics(path.relative_to(tmp_path), metrics)

    metrics = {"accuracy": 0.5}
    assert current() is None  # no git here
    git("init", "-q")
    for value in (0.5, 0.6, 0.7):
        metrics = {"accuracy": value}
        write_json(path, metrics)
        before = current()
        git("add", "-A")
        git("commit", "-qm", str(value))
        assert current() == before, "committing changes nothing"
    assert before[1] == {"accuracy": 0.6}
