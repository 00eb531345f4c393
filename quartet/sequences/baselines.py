"""Simpler models of the same sequences that take seconds, to show what the network adds."""

from pathlib import Path
from typing import Any

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

FITTED, AT_ONCE = 4096, 256  # training sequences that ridge regression is fitted to; test sequences predicted at once
PENALTIES = np.logspace(-3, 3, 10)  # of a ridge classifier, as in ROCKET


def linear_baseline(folder: Path, info: dict) -> dict[str, float]:
    """`baseline_accuracy` and `baseline_macro_f1` on the test split of the processed sequences in `folder`.

    For text, logistic regression on TF-IDF of words and word pairs, or of characters if there are no words. Otherwise,
    logistic regression on the flattened values, cut or zero-padded to the longest training sequence; numbers are
    standardised as for the network.
    """
    train, test = load_sequences(folder, "train"), load_sequences(folder, "test")
    if info["input"] == "tokens":
        vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        try:
            train_features = vectors.fit_transform(_texts(folder, "train"))
        except ValueError:  # no word of two letters
            vectors.set_params(analyzer="char")
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
    train, test = _some(load_sequences(folder, "train")), load_sequences(folder, "test")
    actual, predicted = _kernel_predictions(RidgeClassifierCV(alphas=PENALTIES), train, test, info)
    return {"baseline_kernels_accuracy": float(accuracy_score(actual, predicted))}


def number_baselines(folder: Path, info: dict) -> dict[str, float]:
    """`baseline_…_rmse` where a number is predicted from a series of numbers.

    Of the training numbers' mean, of ridge regression on the flattened values, and of ridge regression on pooled random
    kernels. Penalties are chosen on the training split, leaving out one series at a time.
    """
    train, test = load_sequences(folder, "train"), load_sequences(folder, "test")
    actual = test.labels.numpy()
    steps = int(train.lengths.max())
    some = _some(train)
    ridge = RidgeCV(alphas=RIDGE_PENALTIES).fit(_flattened(some, steps, info), some.labels.numpy())
    flat = float(root_mean_squared_error(actual, ridge.predict(_flattened(test, steps, info))))
    return {
        "baseline_mean_rmse": float(np.sqrt(np.mean((actual - info["target_mean"]) ** 2))),
        "baseline_ridge_rmse": flat,
        "baseline_kernels_rmse": float(root_mean_squared_error(*_kernel_predictions(ridge, some, test, info))),
    }


def _some(train: Sequences) -> Sequences:
    """At most `FITTED` training sequences, evenly: the time that ridge regression takes grows with their cube."""
    if len(train) <= FITTED:
        return train
    print(f"the ridge baselines are fitted to {FITTED:,} of {len(train):,} training sequences", flush=True)
    return train.some(torch.linspace(0, len(train) - 1, FITTED).long())


def _kernel_predictions(model: Any, train: Sequences, test: Sequences, info: dict) -> tuple[np.ndarray, np.ndarray]:
    """The labels of the test split, and what a ridge regression on pooled random kernels predicts."""
    network = KernelClassifier(features=info["features"], steps=info["steps"], classes=1)

    def inputs(sequences: Sequences, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, lengths = sequences.padded(chosen)
        return network_inputs(values, info), lengths

    whole = inputs(train, torch.arange(len(train)))
    network.fit(*whole)
    model.fit(network.pooled(*whole).numpy(), train.labels.numpy())
    parts = torch.arange(len(test)).split(AT_ONCE)
    predicted = [model.predict(network.pooled(*inputs(test, part)).numpy()) for part in parts]
    return test.labels.numpy(), np.concatenate(predicted)


def _texts(folder: Path, split: str) -> list[str]:
    return list(pd.read_csv(folder / f"{split}.csv", keep_default_na=False, dtype=str)["text"])


def _flattened(sequences: Sequences, steps: int, info: dict) -> np.ndarray:
    """`(examples, steps · features)` float32, cut or padded with zeros."""
    values, lengths = sequences.padded(torch.arange(len(sequences)))
    if info["input"] == "numbers":
        inside = torch.arange(values.shape[1]) < lengths[:, None]
        values = network_inputs(values, info) * inside[..., None]
    padded = torch.nn.functional.pad(values.float(), (0, 0, 0, max(0, steps - values.shape[1])))
    return padded[:, :steps].flatten(1).numpy()
