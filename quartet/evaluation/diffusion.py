"""How text to image is scored: does the judge, the image family's network, see in a picture what was asked for?"""

import math

import torch
from torch import Tensor, nn

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card
from quartet.datasets.batches import normalise
from quartet.datasets.captions import TEMPLATES, UNSEEN_TEMPLATES, Captioner, captioner
from quartet.datasets.images import load_images
from quartet.evaluation.predictions import logits_over
from quartet.networks.building import count_parameters, rebuild_network
from quartet.networks.samplers import draw, network_evaluations
from quartet.params import Params
from quartet.params.sections import EvaluateDiffusion
from quartet.reporting.figures import image_sheet, save_figure
from quartet.reporting.report_files import write_confusion

SHEET_ROWS, SHEET_COLUMNS = 10, 10


def evaluate(params: Params, device: torch.device) -> dict[str, float]:
    """Score the text-to-image network; writes pictures and tables into `reports/diffusion`."""
    folder, how = paths.report("diffusion"), params.evaluate.diffusion
    card = read_card(paths.model("diffusion"))
    network = rebuild_network(card, load_weights(paths.model("diffusion"))).to(device)
    captions = captioner(card["data"])
    judge = Judge(device, params.evaluate.batch_size)
    judge.refuse_other_classes(captions)

    generator = torch.Generator(device).manual_seed(params.seed)
    known, labels = draw_classes(network, captions, TEMPLATES, how, generator, params.evaluate.batch_size)
    unseen, _ = draw_classes(network, captions, UNSEEN_TEMPLATES, how, generator, params.evaluate.batch_size)
    seen_as, unseen_seen_as = judge.classes_of(known), judge.classes_of(unseen)
    real, real_labels = (tensor.to(device) for tensor in load_images(paths.processed("images"), "test"))

    fidelity = (seen_as == labels).float().mean().item()
    title = f"Text to image: the judge sees what was asked for in {fidelity:.2%} of {len(labels)}"
    classes = list(captions.classes)
    write_confusion(folder, labels.cpu().numpy(), seen_as.cpu().numpy(), classes, title, row_label="prompted")
    _sample_sheet(known, labels, captions)
    return {
        "fidelity": fidelity,
        "fidelity_unseen_templates": (unseen_seen_as == labels).float().mean().item(),
        "judge_accuracy": (judge.classes_of(real) == real_labels).float().mean().item(),
        "network_evaluations": network_evaluations(steps=how.steps, sampler=how.sampler, guidance=how.guidance),
        "generated_images": len(labels),
        "parameters": count_parameters(network),
    }


class Judge:
    """The image family's network, asked what it sees in a picture."""

    def __init__(self, device: torch.device, batch_size: int):
        self.card = read_card(paths.model("cnn"))
        self.network = rebuild_network(self.card, load_weights(paths.model("cnn"))).to(device)
        self.batch_size = batch_size

    def classes_of(self, images: Tensor) -> Tensor:
        """`(images, channels, size, size)` uint8 to `(images,)` labels."""
        data = self.card["data"]
        logits = logits_over(
            self.network,
            images,
            lambda batch: normalise(batch.float() / 255, data["mean"], data["std"]),
            self.batch_size,
        )
        return logits.argmax(dim=1)

    def refuse_other_classes(self, captions: Captioner) -> None:
        """Raise ValueError if the judge knows other classes than those that are drawn."""
        if self.card["data"]["classes"] != list(captions.classes):
            raise ValueError("models/cnn and models/diffusion were trained on different classes; run `dvc repro`")


def draw_classes(
    network: nn.Module,
    captions: Captioner,
    templates: tuple[str, ...],
    how: EvaluateDiffusion,
    generator: torch.Generator,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """Draw `how.images` pictures, classes and templates taking turns.

    Returns:
        `(images, channels, size, size)` uint8 pictures and the `(images,)` labels asked for.
    """
    device = generator.device
    table = captions.table(templates).to(device)  # (classes, templates, words)
    numbers = torch.arange(how.images, device=device)
    labels = numbers % len(captions.classes)
    prompts = table[labels, (numbers // len(captions.classes)) % len(templates)]  # (images, words)
    noise = torch.randn(how.images, *network.picture_shape, generator=generator, device=device)
    pictures = [
        draw(network, prompt, start, steps=how.steps, guidance=how.guidance, sampler=how.sampler)
        for prompt, start in zip(prompts.split(batch_size), noise.split(batch_size), strict=True)
    ]
    return to_uint8(torch.cat(pictures)), labels


def to_uint8(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] to uint8 images."""
    return ((pictures + 1) * 127.5).round().to(torch.uint8)


def _sample_sheet(pictures: Tensor, labels: Tensor, captions: Captioner) -> None:
    """One class per row, its pictures from left to right."""
    rows, names = [], []
    for label in range(min(SHEET_ROWS, math.ceil(labels.max().item() + 1))):
        chosen = pictures[labels == label][:SHEET_COLUMNS]
        if len(chosen):
            rows.append(chosen.cpu().numpy() / 255)
            names.append(captions.caption(label, TEMPLATES[0]))
    figure = image_sheet(rows, names, title="Drawn from their captions")
    save_figure(figure, paths.report("diffusion") / "evaluation/samples.png")
