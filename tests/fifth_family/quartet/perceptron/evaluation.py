"""How the perceptron is scored."""

from pathlib import Path

import torch
from quartet.perceptron.network import NETWORKS

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card_for
from quartet.artifacts.rebuilding import count_parameters, rebuild_network
from quartet.classification.predictions import logits_over
from quartet.classification.report import report_classification
from quartet.datasets.images import load_images, to_unit_range


def evaluate(*, folder: Path, batch_size: int, seed: int, device: torch.device) -> dict[str, float]:
    """Score the perceptron on the test images."""
    card = read_card_for(paths.model("mlp"), paths.processed("images"))
    network = rebuild_network(NETWORKS, card, load_weights(paths.model("mlp"))).to(device)
    images, labels = load_images(paths.processed("images"), "test")
    logits = logits_over(network, images, to_unit_range, batch_size)
    scores = report_classification(folder, logits, labels, card["data"]["classes"], "Perceptron")
    return {**scores, "parameters": count_parameters(network)}
