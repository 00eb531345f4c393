"""How the sequence classifier is scored on the test split, beside logistic regression on the flattened sequences."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card
from quartet.datasets.batches import normalise
from quartet.datasets.sequences import as_images, as_sequences, load_sequences
from quartet.evaluation.classifying import report_classification, report_mistakes
from quartet.evaluation.predictions import logits_over
from quartet.networks.building import count_parameters, rebuild_network
from quartet.params import Params


def evaluate(params: Params, device: torch.device) -> dict[str, float]:
    """Score the recurrent network; writes pictures and tables into `reports/rnn`."""
    folder = paths.report("rnn")
    card = read_card(paths.model("rnn"))
    network = rebuild_network(card, load_weights(paths.model("rnn"))).to(device)
    data = card["data"]
    processed = paths.processed("sequences")
    sequences, labels = (tensor.to(device) for tensor in load_sequences(processed, "test"))

    def prepare(batch: torch.Tensor) -> torch.Tensor:
        images = as_images(batch.float() / 255, data["image_shape"])
        return as_sequences(normalise(images, data["mean"], data["std"]), data["steps"])

    logits = logits_over(network, sequences, prepare, params.evaluate.batch_size)
    scores = report_classification(folder, logits, labels, data["classes"], "Recurrent network")
    report_mistakes(folder, as_images(sequences, data["image_shape"]), logits, labels, data["classes"])
    train_sequences, train_labels = load_sequences(processed, "train")
    baseline = _logistic_regression(train_sequences, train_labels, sequences.cpu(), labels.cpu())
    return {**scores, **baseline, "parameters": count_parameters(network)}


def _logistic_regression(train: torch.Tensor, train_labels: torch.Tensor, test: torch.Tensor, labels: torch.Tensor):
    """What a linear classifier makes of the same numbers, to show what recurrence buys."""
    model = LogisticRegression(max_iter=200, tol=1e-3)
    model.fit(train.flatten(1).numpy().astype(np.float32) / 255, train_labels.numpy())
    predicted = model.predict(test.flatten(1).numpy().astype(np.float32) / 255)
    return {
        "baseline_accuracy": float(accuracy_score(labels, predicted)),
        "baseline_macro_f1": float(f1_score(labels, predicted, average="macro")),
    }
