"""How the image classifier is scored on the test split."""

import torch

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card
from quartet.datasets.batches import normalise
from quartet.datasets.images import load_images
from quartet.evaluation.classifying import report_classification, report_mistakes
from quartet.evaluation.predictions import logits_over
from quartet.networks.building import count_parameters, rebuild_network
from quartet.params import Params


def evaluate(params: Params, device: torch.device) -> dict[str, float]:
    """Score the convolutional network; writes pictures and tables into `reports/cnn`."""
    folder = paths.report("cnn")
    card = read_card(paths.model("cnn"))
    network = rebuild_network(card, load_weights(paths.model("cnn"))).to(device)
    data = card["data"]
    images, labels = (tensor.to(device) for tensor in load_images(paths.processed("images"), "test"))

    def prepare(batch: torch.Tensor) -> torch.Tensor:
        return normalise(batch.float() / 255, data["mean"], data["std"])

    logits = logits_over(network, images, prepare, params.evaluate.batch_size)
    scores = report_classification(folder, logits, labels, data["classes"], "Convolutional network")
    report_mistakes(folder, images, logits, labels, data["classes"])
    return {**scores, "parameters": count_parameters(network)}
