"""The arithmetic of the image benchmark."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.images import extrapolated, summary


def test_an_error_that_falls_as_a_power_of_time_is_extrapolated_exactly():
    seconds = np.array([100.0, 200.0, 400.0])
    means = pd.DataFrame({"seconds": seconds, "accuracy": 1 - 0.5 * seconds**-0.5})
    assert extrapolated(means, 0.99) == pytest.approx(2500.0)


def test_the_table_marks_what_was_not_measured():
    arms = [
        ("compact 99.0 %", 4.0, 0.991, 0.992),
        ("reference", 90.0, 0.985, 0.986),
        ("textbook", 100.0, 0.95, None),
        ("textbook", 200.0, 0.97, None),
    ]
    table = pd.DataFrame(arms, columns=["arm", "seconds", "accuracy", "augmented"])
    table = table.assign(seed=0, images=(64 * table.seconds).astype(int))
    rounds = {"textbook": [(100.0, 1.5), (110.0, 1.5), (90.0, 1.6)], "ours": [(250.0, 1.6)]}
    lines = summary(table, rounds).splitlines()
    assert "| ratio | 2.50 | 1.00 |" in lines
    assert "| compact 99.0 % | 1 | 256 | 4.0 s | 0.9910 | 0.9920 |" in lines
    assert "| textbook | 1 | 6,400 | 100.0 s | 0.9500 | – |" in lines
    textbook = next(line for line in lines if line.startswith("| textbook | not in"))
    assert textbook.startswith("| textbook | not in 200 s; about 347 s, extrapolated |")
    assert next(line for line in lines if line.startswith("| compact |")).startswith("| compact | 4.0 s | 4.0 s | not")
