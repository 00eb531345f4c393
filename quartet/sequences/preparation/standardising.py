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
    return {"mean": mean.tolist(), "std": [float(f"{value:.9g}") for value in varying(mean, std)]}


def varying(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Deviations, but 1 where numbers are constant but for rounding errors: these are not scaled up."""
    return np.where(std > 1e-12 * np.abs(mean), std, 1.0)
