"""Score the image classifier on the test split."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card_for
from quartet.artifacts.rebuilding import count_parameters, rebuild_network
from quartet.artifacts.writing import read_json
from quartet.classification.calibration import temperature_of
from quartet.classification.no_classes import report_no_classes
from quartet.classification.predictions import logits_over
from quartet.classification.report import report_classification, report_mistakes
from quartet.classification.split_files import write_splits
from quartet.datasets.images import Images, normalise, open_images, rows_at_once, to_unit_range
from quartet.images.grad_cam import grad_cam
from quartet.images.networks import NETWORKS
from quartet.images.networks.interface import ImageNetwork
from quartet.images.shifted_views import shifted_probabilities
from quartet.reporting.drawing.figures import save_figure
from quartet.reporting.image_sheets import attention_sheet, filter_sheet
from quartet.training.no_classes import NoClasses

GRAD_CAM_IMAGES = 12  # images on the Grad-CAM sheet
FILTERS = 64  # at most this many filters are shown


def evaluate(*, folder: Path, batch_size: int, seed: int, device: torch.device) -> dict[str, float]:
    """Score the convolutional network; writes pictures and tables into `folder`."""
    processed = paths.processed("images")
    card = read_card_for(paths.model("cnn"), processed)
    network = rebuild_network(NETWORKS, card, load_weights(paths.model("cnn"))).to(device)
    data, info = card["data"], read_json(processed / "info.json")
    if isinstance(network, NoClasses):
        return {**report_no_classes(folder, info, "Convolutional network"), "parameters": count_parameters(network)}
    images, labels = open_images(processed, "test", device)
    batch_size = min(batch_size, rows_at_once(images))

    def prepare(pixels: Tensor) -> Tensor:
        return normalise(pixels, data["mean"], data["std"])

    logits = logits_over(network, images, lambda batch: prepare(to_unit_range(batch)), batch_size)
    scores = report_classification(
        folder, logits, labels, data["classes"], "Convolutional network", temperature=temperature_of(card)
    )
    write_splits(folder, info, data["classes"])
    report_mistakes(folder, images, logits, labels, data["classes"])
    _report_filters(folder, network)
    report_grad_cam(folder, network, images, labels, prepare, data["classes"])
    augmented = shifted_probabilities(network, images, prepare, batch_size).argmax(dim=1)
    return {
        **scores,
        "accuracy_augmented": (augmented == labels).cpu().double().mean().item(),
        "parameters": count_parameters(network),
    }


def _report_filters(folder: Path, network: ImageNetwork) -> None:
    """Draw the kernels of the first layer."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    save_figure(filter_sheet(first.weight.detach()[:FILTERS].cpu().numpy()), folder / "evaluation/filters.png")


def report_grad_cam(
    folder: Path,
    network: ImageNetwork,
    images: Images,
    labels: Tensor,
    prepare: Callable[[Tensor], Tensor],
    classes: Sequence[str],
) -> None:
    """Draw Grad-CAM maps of some images, taking the classes in turn."""
    turns = torch.zeros_like(labels)
    for label in labels.unique():
        of_class = labels == label
        turns[of_class] = torch.arange(int(of_class.sum()), device=labels.device)
    chosen = turns.argsort(stable=True)[:GRAD_CAM_IMAGES]
    pixels = to_unit_range(images[chosen])
    predicted = network(prepare(pixels)).argmax(dim=1)
    seen = grad_cam(network, prepare(pixels), predicted)
    names = [classes[label] for label in predicted.tolist()]
    figure = attention_sheet(pixels.cpu().numpy(), seen.cpu().numpy(), names)
    save_figure(figure, folder / "evaluation/grad_cam.png")
