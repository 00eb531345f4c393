"""How text to image is scored.

Does the judge, the image family's network, see in a picture what was asked for? And are the pictures as varied as real
ones, not copied, and good enough to train a classifier that knows real ones?
"""

import dataclasses
import itertools
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card_for
from quartet.artifacts.writing import read_json, write_table
from quartet.datasets.batches import normalise
from quartet.datasets.captions import TEMPLATES, UNSEEN_TEMPLATES, Captioner, captioner
from quartet.datasets.images import load_images
from quartet.evaluation.generated_images import copy_rate, copy_threshold, fid_ratio, nearest, variance_ratio
from quartet.evaluation.image_training import accuracy_after_training
from quartet.evaluation.predictions import logits_over
from quartet.networks.building import count_parameters, rebuild_network
from quartet.networks.noise_schedules import add_noise
from quartet.networks.rejection import candidates, caption_evidence, evaluations_per_picture, strongest
from quartet.networks.samplers import denoising_times, draw, drawing, network_evaluations, to_uint8
from quartet.params import Params
from quartet.params.sections import EvaluateDiffusion, TrainCnn
from quartet.reporting.figures import image_sheet, line_figure, save_animation, save_figure
from quartet.reporting.report_files import write_confusion

SHEET_ROWS, SHEET_COLUMNS = 10, 10
STRIP, STRIP_ROWS = 9, 4  # pictures of a process, captions shown
FID_DRAWS = 10
SWEPT_STEPS, SWEPT_GUIDANCE, SWEPT_TEMPERATURE = (3, 5, 10), (1.0, 1.2, 1.4, 2.0), (1.0, 1.1, 1.3)


def evaluate(params: Params, device: torch.device) -> dict[str, float]:
    """Score the text-to-image network; writes pictures and tables into `reports/diffusion`."""
    folder, how = paths.report("diffusion"), params.evaluate.diffusion
    card = read_card_for(paths.model("diffusion"), paths.processed("images"))
    network = rebuild_network(card, load_weights(paths.model("diffusion"))).to(device)
    captions = captioner(card["data"])
    if how.images < _fewest(captions):
        raise ValueError(
            f"evaluate.diffusion.images: found {how.images}; to tell how they vary takes two of each of the "
            f"{len(captions.classes)} classes, {_fewest(captions)} in all"
        )
    judge = trained_judge(captions, device, params.evaluate.batch_size)
    processed = paths.processed("images")
    train, test = (tuple(part.to(device) for part in load_images(processed, split)) for split in ("train", "test"))
    if train[1].bincount().max() < 2:
        raise ValueError(
            f"{processed}: every class has one training image, so none tells how varied they are; add some"
        )

    generator = torch.Generator(device).manual_seed(params.seed)
    known, labels, templates = draw_classes(network, captions, TEMPLATES, how, generator, params.evaluate.batch_size)
    unseen, _, _ = draw_classes(network, captions, UNSEEN_TEMPLATES, how, generator, params.evaluate.batch_size)
    seen_as, unseen_seen_as = judge.classes_of(known), judge.classes_of(unseen)

    fidelity = (seen_as == labels).float().mean().item()
    title = f"Text to image: the judge sees what was asked for in {fidelity:.2%} of {len(labels)}"
    classes = list(captions.classes)
    write_confusion(folder, labels.cpu().numpy(), seen_as.cpu().numpy(), classes, title, row_label="prompted")
    _sample_sheet(known, labels, templates, captions)
    _neighbours_sheet(known, labels, train[0], captions)
    _process_sheets(network, captions, train, how, params.seed)
    _sweep(network, captions, judge, train, params, device)

    clouds = [(judge.features_of(images), owners) for images, owners in ((known, labels), test, train)]
    ratio, spread = fid_ratio(*clouds, draws=FID_DRAWS, seed=params.seed)
    threshold = copy_threshold(train[0])
    info = read_json(processed / "info.json")
    seeds = range(params.seed, params.seed + how.classifiers)
    # Trained as the image family's network is: a weaker classifier is too much a matter of its seed.
    brief = {"steps": how.classifier_steps, "epochs": None, "max_seconds": None, "patience": None}
    classifier = dataclasses.replace(params.train_cnn, **brief, compile=False)  # which pays in long trainings alone
    trained = {"device": device, "seeds": seeds, "held_out": test}
    drawn_accuracy, drawn_spread = classifier_accuracy("drawn", classifier, info, train=(known, labels), **trained)
    real_accuracy, real_spread = classifier_accuracy("real", classifier, info, train=train, **trained)
    return {
        "fidelity": fidelity,
        "fidelity_unseen_templates": (unseen_seen_as == labels).float().mean().item(),
        "judge_accuracy": (judge.classes_of(test[0]) == test[1]).float().mean().item(),
        "fid_ratio": ratio,
        "fid_ratio_spread": spread,
        "variance_ratio": variance_ratio(known, labels, *train),
        "copy_rate": copy_rate(known, train[0], threshold),
        "copy_rate_test": copy_rate(test[0], train[0], threshold),
        "cas_accuracy": drawn_accuracy,
        "cas_accuracy_spread": drawn_spread,
        "cas_accuracy_real": real_accuracy,
        "cas_accuracy_real_spread": real_spread,
        "network_evaluations": evaluations_of(network, how, len(captions.classes)),
        "generated_images": len(labels),
        "parameters": count_parameters(network),
    }


def classifier_accuracy(
    kind: str, settings: TrainCnn, info: Mapping[str, object], *, seeds: Sequence[int], **trained: object
) -> tuple[float, float]:
    """Classification accuracy score (Ravuri & Vinyals 2019): what classifiers of the given images know of others.

    Args:
        kind: of the given images, for the progress bar, which is shown on a terminal.
        settings, info, trained: as for `accuracy_after_training`.
        seeds: of one training each, two or more: what a single one finds is mostly luck.

    Returns:
        Mean and standard deviation over the trainings.
    """
    shown = {"console": Console(stderr=True), "disable": not sys.stderr.isatty()}
    numbers = track(seeds, f"classifiers of {kind} images", **shown)
    accuracies = [accuracy_after_training(settings, info, seed=number, **trained) for number in numbers]
    return statistics.mean(accuracies), statistics.stdev(accuracies)


class Judge:
    """A trained image classifier that is asked what it sees in pictures.

    Args:
        network: of `image_training.py`.
        data: the mean and deviation of the images that it was trained on.
        batch_size: pictures at once.
    """

    def __init__(self, network: nn.Module, data: Mapping[str, object], batch_size: int):
        self.network, self.data, self.batch_size = network, data, batch_size

    def classes_of(self, images: Tensor) -> Tensor:
        """`(images, channels, size, size)` uint8 to `(images,)` labels."""
        return self._over(self.network, images).argmax(dim=1)

    def features_of(self, images: Tensor) -> Tensor:
        """What its classifier sees of each image: `(images, features)`."""
        return self._over(lambda batch: self.network.features_of(self.network.feature_maps(batch)), images)

    def _over(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        def prepared(batch: Tensor) -> Tensor:
            return normalise(batch.float() / 255, self.data["mean"], self.data["std"])

        return logits_over(function, images, prepared, self.batch_size)


def trained_judge(captions: Captioner, device: torch.device, batch_size: int) -> Judge:
    """The image family's network.

    Raises:
        ValueError: it was trained on other images than the processed ones, or knows other classes than are drawn.
    """
    card = read_card_for(paths.model("cnn"), paths.processed("images"))
    if card["data"]["classes"] != list(captions.classes):
        raise ValueError("models/cnn and models/diffusion were trained on different classes; run `dvc repro`")
    return Judge(rebuild_network(card, load_weights(paths.model("cnn"))).to(device), card["data"], batch_size)


def draw_classes(
    network: nn.Module,
    captions: Captioner,
    templates: tuple[str, ...],
    how: EvaluateDiffusion,
    generator: torch.Generator,
    batch_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw `how.images` pictures, classes and templates taking turns; of a class all but a share `how.rejection`.

    Returns:
        `(images, channels, size, size)` uint8 pictures, the `(images,)` labels asked for, and by which template each.
    """
    device, classes = generator.device, len(captions.classes)
    table = captions.table(templates).to(device)  # (classes, templates, words)
    kept = math.ceil(how.images / classes)
    drawn = candidates(kept, how.rejection)
    numbers = torch.arange(drawn * classes, device=device)
    labels, asked_by = numbers % classes, numbers // classes % len(templates)
    prompts = table[labels, asked_by]  # (images, words)
    noise = torch.randn(len(numbers), *network.picture_shape, generator=generator, device=device)
    choice = choice_of(how)
    parts = zip(prompts.split(batch_size), noise.split(batch_size), strict=True)
    pictures = torch.cat([draw(network, *part, generator=generator, **choice) for part in parts])
    if how.rejection:
        asked = zip(pictures.split(batch_size), prompts.split(batch_size), strict=True)
        evidence = torch.cat([caption_evidence(network, *part, generator) for part in asked])
        of_class = strongest(evidence.view(drawn, classes).T, kept)  # (classes, kept)
        chosen = (of_class * classes + torch.arange(classes, device=device)[:, None]).T.flatten()
        pictures, labels, asked_by = pictures[chosen], labels[chosen], asked_by[chosen]
    return to_uint8(pictures[: how.images]), labels[: how.images], asked_by[: how.images]


def _fewest(captions: Captioner) -> int:
    """Two pictures of each class."""
    return 2 * len(captions.classes)


def choice_of(how: EvaluateDiffusion) -> dict[str, object]:
    """The settings that `drawing` takes."""
    return {"steps": how.steps, "guidance": how.guidance, "temperature": how.temperature, "sampler": how.sampler}


def evaluations_of(network: nn.Module, how: EvaluateDiffusion, classes: int) -> float:
    """How often the network is asked for each picture that is kept, a matcher counting as one network."""
    to_draw = network_evaluations(steps=how.steps, sampler=how.sampler, guidance=how.guidance)
    matcher = network.matcher is not None
    return evaluations_per_picture(to_draw, math.ceil(how.images / classes), how.rejection, matcher=matcher)


def _sample_sheet(pictures: Tensor, labels: Tensor, asked_by: Tensor, captions: Captioner) -> None:
    """One caption per row, its pictures from left to right: classes in order, templates taking turns."""
    rows, names = [], []
    for label in _spread(labels.unique(), SHEET_ROWS).tolist():
        of_class = labels == label
        templates = asked_by[of_class].unique()
        template = templates[label % len(templates)]
        rows.append(pictures[of_class & (asked_by == template)][:SHEET_COLUMNS].cpu().numpy() / 255)
        names.append(captions.caption(label, TEMPLATES[template]))
    figure = image_sheet(rows, names, title="Drawn from their captions")
    save_figure(figure, paths.report("diffusion") / "evaluation/samples.png")


def _spread(values: Tensor, count: int) -> Tensor:
    """So many of the values, evenly spread; all, if there are no more."""
    return values[torch.linspace(0, len(values) - 1, min(count, len(values))).round().long().to(values.device)]


def _neighbours_sheet(pictures: Tensor, labels: Tensor, train: Tensor, captions: Captioner) -> None:
    """Some drawn pictures above the training images that are nearest to them."""
    chosen = torch.stack([(labels == label).nonzero()[0, 0] for label in _spread(labels.unique(), SHEET_ROWS)])
    distances, numbers = nearest(pictures[chosen], train)
    rows = [pictures[chosen].cpu().numpy() / 255, train[numbers.to(train.device)].cpu().numpy() / 255]
    titles = [[captions.classes[label] for label in labels[chosen].tolist()], [f"{d:.2f}" for d in distances.tolist()]]
    figure = image_sheet(rows, ["drawn", "nearest training image"], titles, "Nearest training images and distances")
    save_figure(figure, paths.report("diffusion") / "evaluation/neighbours.png")


def _process_sheets(
    network: nn.Module, captions: Captioner, train: tuple[Tensor, Tensor], how: EvaluateDiffusion, seed: int
) -> None:
    """The forward process of a training image, and the reverse process of a few captions: strips and an animation."""
    folder, device = paths.report("diffusion") / "evaluation", train[0].device
    generator = torch.Generator(device).manual_seed(seed)
    times = torch.linspace(0, 1, STRIP, device=device)
    clean = (train[0][:1].float() / 127.5 - 1).expand(STRIP, -1, -1, -1)
    noise = torch.randn(1, *network.picture_shape, generator=generator, device=device).expand(STRIP, -1, -1, -1)
    forward = to_uint8(add_noise(clean, noise, times, network.schedule))
    told = [[f"t = {time:.2f}" for time in times.tolist()]]
    figure = image_sheet([forward.cpu().numpy() / 255], ["x_t"], told, "Forward process: a picture turns into noise")
    save_figure(figure, folder / "forward_process.png")

    count = min(STRIP_ROWS, len(captions.classes))
    prompts = captions.table(TEMPLATES).to(device)[:count, 0]  # (count, words)
    start = torch.randn(count, *network.picture_shape, generator=generator, device=device)
    choice = {**choice_of(how), "generator": generator}
    frames = [to_uint8(x) for x in (how.temperature * start, *drawing(network, prompts, start, **choice))]
    shown = _spread(torch.arange(how.steps + 1), STRIP).tolist()
    rows = [np.stack([frames[place][row].cpu().numpy() / 255 for place in shown]) for row in range(count)]
    names = [captions.caption(label, TEMPLATES[0]) for label in range(count)]
    told = [f"t = {time:.2f}" for time in denoising_times(how.steps, network.schedule)[shown].tolist()]
    told = [told, *[[""] * len(shown)] * (count - 1)]
    figure = image_sheet(rows, names, told, "Reverse process: from noise to a picture")
    save_figure(figure, folder / "reverse_process.png")
    animation = [np.concatenate(list(frame.cpu().numpy()), axis=2) for frame in frames]  # side by side
    save_animation(animation, folder / "animation.gif")


def _sweep(
    network: nn.Module,
    captions: Captioner,
    judge: Judge,
    train: tuple[Tensor, Tensor],
    params: Params,
    device: torch.device,
) -> None:
    """Quality against steps, guidance and temperature, on the validation split: where `evaluate`'s defaults are from.

    Guidance is paired with each number of steps and with each temperature.
    """
    folder, how = paths.report("diffusion") / "evaluation", params.evaluate.diffusion
    held_out = [tensor.to(device) for tensor in load_images(paths.processed("images"), "validation")]
    real = [(judge.features_of(images), labels) for images, labels in (held_out, train)]
    # Without captions left out in training there is nothing to guide away from.
    guidances = sorted({*SWEPT_GUIDANCE, how.guidance}) if params.train_diffusion.caption_dropout else [how.guidance]
    pairs = {(steps, how.temperature) for steps in (*SWEPT_STEPS, how.steps)}
    pairs |= {(how.steps, temperature) for temperature in SWEPT_TEMPERATURE}
    rows = []
    for (steps, temperature), guidance in itertools.product(sorted(pairs), guidances):
        drawn = {"steps": steps, "temperature": temperature, "guidance": guidance}
        choice = dataclasses.replace(how, images=max(how.swept_images, _fewest(captions)), **drawn)
        generator = torch.Generator(device).manual_seed(params.seed + 1)
        pictures, labels, _ = draw_classes(network, captions, TEMPLATES, choice, generator, params.evaluate.batch_size)
        fidelity = (judge.classes_of(pictures) == labels).cpu().double().mean().item()
        ratio, _ = fid_ratio((judge.features_of(pictures), labels), *real, draws=FID_DRAWS, seed=params.seed)
        evaluations = evaluations_of(network, choice, len(captions.classes))
        variety = variance_ratio(pictures, labels, *train)
        scores = {"fidelity": fidelity, "fid_ratio": ratio, "variance_ratio": variety}
        scores = {name: round(score, 6) for name, score in scores.items()}
        rows.append({**drawn, "network_evaluations": evaluations, **scores})
    table = pd.DataFrame(rows)
    write_table(folder / "sweep.csv", table)
    of_temperature = table[table.steps == how.steps].groupby("temperature")
    lines = {f"temperature {t:g}": (list(part.variance_ratio), list(part.fidelity)) for t, part in of_temperature}
    title = "More guidance (at the points): more faithful, less varied"
    marks = [f"{guidance:g}" for guidance in guidances]
    figure = line_figure(lines, title=title, x="variance ratio", y="fidelity", marks=marks)
    save_figure(figure, folder / "sweep.png")
    of_guidance = table[table.temperature == how.temperature].groupby("guidance")
    lines = {f"guidance {g:g}": (list(part.steps), list(part.fid_ratio)) for g, part in of_guidance}
    title = "Distance to the validation images, against the number of steps"
    save_figure(
        line_figure(lines, title=title, x="steps", y="fid_ratio (1: as near as training images)"), folder / "steps.png"
    )
