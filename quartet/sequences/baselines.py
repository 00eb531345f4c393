"""Simpler models of the same sequences that take seconds, to show what the network adds."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV, RidgeCV
from sklearn.metrics import accuracy_score, root_mean_squared_error

from quartet.classification.scores import macro_f1
from quartet.sequences.loading import Sequences, load_sequences, network_inputs
from quartet.sequences.networks.kernels import KernelClassifier
from quartet.sequences.training.goals import RIDGE_PENALTIES

PENALTIES = np.logspace(-3, 3, 10)  # of a ridge classifier, as in ROCKET


def linear_baseline(folder: Path, info: dict) -> dict[str, float]:
    """`baseline_accuracy` and `baseline_macro_f1` on the test split of the processed sequences in `folder`.

    For text, logistic regression on TF-IDF of words and word pairs. Otherwise, logistic regression on the flattened
    values, cut or zero-padded to the longest training sequence; numbers are standardised as for the network.
    """
    train, test = load_sequences(folder, "train"), load_sequences(folder, "test")
    if info["input"] == "tokens":
        vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        train_features = vectors.fit_transform(_texts(folder, "train"))
        test_features = vectors.transform(_texts(folder, "test"))
        model = LogisticRegression(C=10, max_iter=1000)
    else:
        steps = int(train.lengths.max())
        train_features, test_features = (_flattened(split, steps, info) for split in (train, test))
        if info["input"] == "pixels":
            scale = np.maximum(np.abs(train_features).max(), 1e-9)
            train_features, test_features = train_features / scale, test_features / scale
        model = LogisticRegression(max_iter=200, tol=1e-3)
    model.fit(train_features, train.labels.numpy())
    labels, predicted = test.labels.numpy(), model.predict(test_features)
    return {
        "baseline_accuracy": float(accuracy_score(labels, predicted)),
        "baseline_macro_f1": macro_f1(labels, predicted, len(info["classes"])),
    }


def kernel_baseline(folder: Path, info: dict) -> dict[str, float]:
    """`baseline_kernels_accuracy` of ridge regression on pooled random kernels, as in ROCKET (Dempster et al. 2020).

    For series of numbers. The penalty is chosen on the training split, leaving out one series at a time.
    """
    (features, labels), (test_features, test_labels) = _kernel_features(folder, info)
    model = RidgeClassifierCV(alphas=PENALTIES).fit(features, labels)
    return {"baseline_kernels_accuracy": float(model.score(test_features, test_labels))}


def number_baselines(folder: Path, info: dict) -> dict[str, float]:
    """`baseline_…_rmse` where a number is predicted from a series of numbers.

    Of the training numbers' mean, of ridge regression on the flattened values, and of ridge regression on pooled random
    kernels. Penalties are chosen on the training split, leaving out one series at a time.
    """
    train, test = load_sequences(folder, "train"), load_sequences(folder, "test")
    actual = test.labels.numpy()
    steps = int(train.lengths.max())
    flat = _ridge_error((_flattened(train, steps, info), train.labels.numpy()), (_flattened(test, steps, info), actual))
    return {
        "baseline_mean_rmse": float(np.sqrt(np.mean((actual - info["target_mean"]) ** 2))),
        "baseline_ridge_rmse": flat,
        "baseline_kernels_rmse": _ridge_error(*_kernel_features(folder, info)),
    }


def _ridge_error(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    model = RidgeCV(alphas=RIDGE_PENALTIES).fit(*train)
    return float(root_mean_squared_error(test[1], model.predict(test[0])))


def _kernel_features(folder: Path, info: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pooled random kernels and labels of the training and the test split."""
    network = KernelClassifier(features=info["features"], steps=info["steps"], classes=1)
    found = []
    for split in ("train", "test"):
        sequences = load_sequences(folder, split)
        values, lengths = sequences.padded(torch.arange(len(sequences)))
        inputs = network_inputs(values, info)
        if split == "train":
            network.fit(inputs, lengths)
        found.append((network.pooled(inputs, lengths).numpy(), sequences.labels.numpy()))
    return found


def _texts(folder: Path, split: str) -> list[str]:
    return list(pd.read_csv(folder / f"{split}.csv", keep_default_na=False)["text"])


def _flattened(sequences: Sequences, steps: int, info: dict) -> np.ndarray:
    """`(examples, steps · features)` float32, cut or padded with zeros."""
    values, lengths = sequences.padded(torch.arange(len(sequences)))
    if info["input"] == "numbers":
        inside = torch.arange(values.shape[1]) < lengths[:, None]
        values = network_inputs(values, info) * inside[..., None]
    padded = torch.nn.functional.pad(values.float(), (0, 0, 0, max(0, steps - values.shape[1])))
    return padded[:, :steps].flatten(1).numpy()
