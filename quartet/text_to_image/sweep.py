"""Scores on the validation split over steps, guidance and temperature, from which the defaults were chosen."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from quartet.artifacts.writing import write_table
from quartet.images.training.image_training import LabelledImages
from quartet.reporting.drawing.figures import line_figure, save_figure
from quartet.text_to_image.captions.templates import TEMPLATES, Captioner
from quartet.text_to_image.class_pictures import draw_classes, fewest_pictures, network_evaluations_per_picture
from quartet.text_to_image.generated_images import class_variances, fid_ratio, labelled_features, ratio_of_variances
from quartet.text_to_image.judge import Judge
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.settings import EvaluateDiffusion

FID_DRAWS = 10
STEPS, GUIDANCE, TEMPERATURE = (3, 5, 10), (1.0, 1.2, 1.4, 2.0), (1.0, 1.1, 1.3)


def sweep(
    network: TextToImage,
    captions: Captioner,
    judge: Judge,
    how: EvaluateDiffusion,
    *,
    train: LabelledImages,
    held_out: LabelledImages,
    unguided: bool,
    batch_size: int,
    seed: int,
) -> pd.DataFrame:
    """A table with one row of scores per point: each guidance with each number of steps, and with each temperature.

    Args:
        network: a text-to-image network.
        captions: of its classes.
        judge: scores the pictures.
        how: the point around which others are tried.
        train, held_out: images and labels that the drawn ones are compared with.
        unguided: the network was not trained without captions, so it cannot use guidance.
        batch_size: pictures drawn at once.
        seed: of the noise.
    """
    device = train[0].device
    real = [labelled_features(*each, judge.features_of) for each in (held_out, train)]
    real_variances = class_variances(*train)
    guidances = [how.guidance] if unguided else sorted({*GUIDANCE, how.guidance})
    pairs = {(steps, how.temperature) for steps in (*STEPS, how.steps)}
    pairs |= {(how.steps, temperature) for temperature in TEMPERATURE}
    rows = []
    for (steps, temperature), guidance in itertools.product(sorted(pairs), guidances):
        drawn = {"steps": steps, "temperature": temperature, "guidance": guidance}
        count = max(how.swept_images, fewest_pictures(captions))
        choice = dataclasses.replace(how, images=count, steps=steps, temperature=temperature, guidance=guidance)
        generator = torch.Generator(device).manual_seed(seed + 1)
        pictures, labels, _ = draw_classes(network, captions, TEMPLATES, choice, generator, batch_size)
        ratio, _ = fid_ratio((judge.features_of(pictures), labels), *real, draws=FID_DRAWS, seed=seed)
        scores = {
            "fidelity": (judge.classes_of(pictures) == labels).cpu().double().mean().item(),
            "fid_ratio": ratio,
            "variance_ratio": ratio_of_variances(class_variances(pictures, labels), real_variances),
        }
        evaluations = network_evaluations_per_picture(network, choice, len(captions.classes))
        rounded = {name: round(score, 6) for name, score in scores.items()}
        rows.append({**drawn, "network_evaluations": evaluations, **rounded})
    return pd.DataFrame(rows)


def write_sweep(folder: Path, table: pd.DataFrame, how: EvaluateDiffusion) -> None:
    """Write `sweep.csv` and its two plots: fidelity against variety, distance against steps."""
    write_table(folder / "sweep.csv", table)
    lines = _lines(table[table.steps == how.steps], "temperature", "variance_ratio", "fidelity")
    title = "More guidance (at the points): more faithful, less varied"
    marks = [f"{guidance:g}" for guidance in sorted(table.guidance.unique())]
    figure = line_figure(lines, title=title, x="variance ratio", y="fidelity", marks=marks)
    save_figure(figure, folder / "sweep.png")
    lines = _lines(table[table.temperature == how.temperature], "guidance", "steps", "fid_ratio")
    title = "Distance to the validation images, against the number of steps"
    figure = line_figure(lines, title=title, x="steps", y="fid_ratio (1: as near as training images)")
    save_figure(figure, folder / "steps.png")


def _lines(table: pd.DataFrame, by: str, x: str, y: str) -> Mapping[str, tuple[Sequence[float], Sequence[float]]]:
    """One line per value of the column `by`."""
    return {f"{by} {value:g}": (list(part[x]), list(part[y])) for value, part in table.groupby(by)}
