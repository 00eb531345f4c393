"""Scores of predicted numbers, and their quintiles in the place of classes."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

QUINTILES = ["lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth"]


def number_scores(actual: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """`rmse` and `mae` in the unit of the numbers, `r2` (of one example there is none), and `test_examples`."""
    explained = {"r2": float(r2_score(actual, predicted))} if len(actual) > 1 else {}
    return {
        "rmse": float(root_mean_squared_error(actual, predicted)),
        "mae": float(mean_absolute_error(actual, predicted)),
        **explained,
        "test_examples": len(actual),
    }


def quintiles(numbers: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """The quintile of each number, 0 to 4, by the four edges of the training examples' quintiles."""
    return np.searchsorted(np.asarray(edges), numbers, side="left")
