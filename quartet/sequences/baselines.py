"""A linear classifier of the same sequences, to show what the recurrent network adds."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from quartet.classification.scores import macro_f1
from quartet.sequences.loading import Sequences, load_sequences, network_inputs


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
