"""Mean and deviation by which series of numbers are standardised."""

import numpy as np


def standardisation(by: str, train: list[np.ndarray]) -> dict:
    """What `info.json` says of how series are standardised, from the training series."""
    features = train[0].shape[1]
    if by == "series":
        return {"standardise": "series", "mean": [0.0] * features, "std": [1.0] * features}
    # In one layout of memory, on which the last digit of a mean depends.
    values = np.ascontiguousarray(np.concatenate(train))
    mean, std = values.mean(axis=0), values.std(axis=0)
    # A constant feature is not scaled up.
    return {"mean": mean.tolist(), "std": [float(f"{value:.9g}") or 1.0 for value in std]}
