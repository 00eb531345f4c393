"""Text to image against the usual libraries: `python -m benchmarks.diffusion --mirror ../shared/data`.

Trains three models on the same pictures for the same time, in one run: our stage's plan and loop; `UNet2DModel` of
`diffusers` (about 1 million parameters at 16 pixels, 4 at 32), trained as in that library's example; and the
class-conditional UNet of `denoising-diffusion-pytorch`, of the same size and with that library's settings. Measures
images per second of training, seconds to draw 1,000 images, and the scores of a judge trained on the real images:
fidelity, fid_ratio, cas_accuracy (`quartet/text_to_image/generated_images.py`). Writes `diffusion-SIZE.csv` and
`diffusion-SIZE.md` into `reports/benchmarks`; the names also contain the data if they are not MNIST, `-ours` with
`--ours-alone`, and the seed if it is not 0. Takes about 25 minutes on 2 cores.

`--data` takes `mnist`, `glyphs`, or `cifar10-small`, colour photographs of the mirror. Captions made from class names
say no more than the class, which the peers get. Those of glyphs say more: `diffusers` gets our text encoder, trained
with its `UNet2DConditionModel`, which attends to it; the other peer, which reads no text, gets the class. Test captions
of glyphs are drawn.

The peers draw with 50 DDIM steps without guidance (the second one still runs its network twice per step). Ours draws
with 10 Heun steps, rejects up to three in ten pictures with its matcher, and uses guidance only if that is not enough:
the weakest choice with which a second judge, on other pictures, measures a fidelity of at least 99.5 % plus a standard
error. Of glyphs and photographs, on which no judge is that good, it is to be the judge's accuracy on validation
pictures. All are trained on the training split and scored against the test images.
"""

import bisect
import dataclasses
import functools
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.diffusion_data import JUDGES, SIZES, prepare, questions, source_of
from benchmarks.diffusion_peers import (
    DIMENSIONS,
    DRAWN_AT_ONCE,
    WIDTHS,
    result,
    train_denoising_diffusion,
    train_diffusers,
)
from benchmarks.measuring import in_own_process
from quartet.params.shared import Runtime
from quartet.text_to_image.settings import EvaluateDiffusion, TrainDiffusion

DRAWN_AT_ONCE_ON_GPU, JUDGED_AT_ONCE = 5000, 256
OUR_STEPS = 10
# From weak to strong: fidelity grows, variety falls.
CHOICES = [
    {"guidance": guidance, "temperature": 1.0, "rejection": rejection}
    for guidance, rejection in (
        (1.0, 0.05),
        (1.0, 0.1),
        (1.0, 0.15),
        (1.0, 0.2),
        (1.0, 0.25),
        (1.0, 0.3),
        (1.1, 0.3),
        (1.25, 0.3),
        (1.5, 0.3),
        (2.0, 0.3),
    )
]
FAITHFUL = 0.995
SCORING, CHOOSING = 0, 1  # seeds of two judges: one scores, the other one chooses
DRAWN = ("pictures", "labels", "owners")  # the parts of `result` that are no figures
FEWER = (1000, 2000)  # fid_ratio grows with the number of pictures, so it is also measured for these


def main(
    mirror: Annotated[
        str | None,
        typer.Option(help="Folder or URL with MNIST, by default its official site; folder with photographs."),
    ] = None,
    data: Annotated[str, typer.Option(help=f"The pictures: {', '.join(SIZES)}.")] = "mnist",
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the pictures; with the peers, 16 or 32.", min=16, max=32, show_default="16 of MNIST, else 32"
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            help="Planned seconds of our training; the peers get its actual time (with --at-once, these).", min=1
        ),
    ] = 300.0,
    images: Annotated[int, typer.Option(help="Pictures per model, compared with as many real ones.")] = 2000,
    at_once: Annotated[
        bool, typer.Option(help="Train all models at the same time, each on two cores; takes six cores.")
    ] = False,
    ours_alone: Annotated[bool, typer.Option(help="Without the peers; allows any size from 16 to 32.")] = False,
    width: Annotated[int, typer.Option(help="Channels of our UNet's finest level.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of our training and our pictures.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the table."""
    from quartet.artifacts.writing import write_table, write_text

    if data not in SIZES:
        raise typer.BadParameter(f"--data {data}: allowed are {', '.join(SIZES)}")
    size = size or SIZES[data]
    if not ours_alone and size not in WIDTHS:
        raise typer.BadParameter(f"--size {size}: the peers need {' or '.join(map(str, WIDTHS))}; or use --ours-alone")
    arms = {"quartet": (functools.partial(train_ours, seed=seed), TrainDiffusion(width=width, norm_groups=1))}
    if not ours_alone:
        peer = "UNet2DConditionModel" if data == "glyphs" else "UNet2DModel"
        arms[f"diffusers {peer}"] = (train_diffusers, WIDTHS[size])
        arms["denoising-diffusion-pytorch"] = (train_denoising_diffusion, DIMENSIONS[size])
    with tempfile.TemporaryDirectory() as folder:
        prepare(data, mirror, Path(folder), size)

        def run(arm: str, given: float, cores: set[int] | None = None) -> dict:
            return train_and_draw(arm, Path(folder), *arms[arm], given, images, cores)

        if at_once:
            cores = [{2 * number, 2 * number + 1} for number in range(len(arms))]
            with ThreadPoolExecutor(len(arms)) as workers:
                rows = list(workers.map(run, arms, itertools.repeat(seconds), cores))
        else:
            ours, *peers = arms
            rows = [run(ours, seconds)]
            # Ours estimates its number of steps beforehand; the peers get the time that these steps took.
            rows += [run(peer, rows[0]["training_seconds"]) for peer in peers]
        drawn = [tuple(map(row.pop, DRAWN)) for row in rows]
        scores, _ = in_own_process(scores_of_all, Path(folder), drawn)
    table = pd.DataFrame([{**row, **found} for row, found in zip(rows, scores, strict=True)])
    name = "diffusion" + ("" if data == "mnist" else f"-{data}") + f"-{size}"
    name += ("-ours" if ours_alone else "") + (f"-seed-{seed}" if seed else "")
    write_table(out / f"{name}.csv", table)
    write_text(out / f"{name}.md", summary(table))
    print((out / f"{name}.md").read_text())


def train_and_draw(
    arm: str, folder: Path, function: Callable, sizes: object, seconds: float, images: int, cores: set[int] | None
) -> dict:
    """Train one model and draw; returns its row of the table, and what it has drawn by the names in `DRAWN`."""
    drawn, memory = in_own_process(function, folder, sizes, seconds, images, cores=cores)
    row = {"arm": arm, **drawn, "peak_memory": round(memory, 2)}
    print({name: value for name, value in row.items() if name not in DRAWN}, flush=True)
    return row


def train_ours(folder: Path, settings: TrainDiffusion, seconds: float, images: int, seed: int = 0) -> dict:
    """Train with our stage's plan and loop for as many steps as fit in the time, then draw."""
    import torch

    from quartet.artifacts.rebuilding import count_parameters
    from quartet.artifacts.writing import read_json
    from quartet.text_to_image.captions.open_captions import is_open
    from quartet.text_to_image.captions.templates import TEMPLATES, captioner
    from quartet.text_to_image.class_pictures import draw_captions, draw_classes, network_evaluations_per_picture
    from quartet.text_to_image.training import TextToImageTraining
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.devices import pick_device
    from quartet.training.loop import train
    from quartet.training.seeding import seed_everything
    from quartet.training.steps import steps_within_time, wait_for

    settings = dataclasses.replace(settings, matcher=True)  # all of `CHOICES` use rejection
    device, info = pick_device(Runtime()), read_json(folder / "info.json")
    seed_everything(seed)
    task = TextToImageTraining(settings, folder, info, device, seed=seed).task()
    task = dataclasses.replace(task, validate=lambda network: {"score": 0})
    steps = steps_within_time(task, dataclasses.replace(settings, max_seconds=seconds), seed, device)
    task = dataclasses.replace(task, steps=steps, validate_every=steps)
    start = time.perf_counter()
    outcome = train(task, settings, seed=seed, device=device, checkpoint=NoCheckpoint())
    trained = time.perf_counter() - start
    network = task.network.eval()
    network.load_state_dict(outcome.weights)

    def how_to_draw(choice, count):
        return dataclasses.replace(EvaluateDiffusion(), steps=OUR_STEPS, images=count, **choice)

    split = {name: questions(folder, info, name, device, settings.longest_caption) for name in ("validation", "test")}

    def draw(choice, count, seed, of):
        generator = torch.Generator(device).manual_seed(seed)
        at_once = DRAWN_AT_ONCE if device.type == "cpu" else DRAWN_AT_ONCE_ON_GPU
        how = how_to_draw(choice, count)
        if not is_open(info):
            return *draw_classes(network, captioner(info), TEMPLATES, how, generator, at_once)[:2], None
        asked = split[of].turns(min(count, len(split[of].classes)))
        pictures, owners = draw_captions(network, split[of].captions[asked], how, generator, at_once)
        return pictures, split[of].classes[asked[owners]], asked[owners]

    trial = functools.partial(draw, seed=2 * seed + 1, of="validation")
    choice = weakest_faithful_choice(folder, trial, max(images // 2, 250), enough(folder, info))
    start = time.perf_counter()
    pictures, labels, owners = draw(choice, images, seed=2 * seed, of="test")
    wait_for(device)
    taken = time.perf_counter() - start
    captions = min(len(split["test"].classes), images)
    evaluations = network_evaluations_per_picture(network, how_to_draw(choice, images), captions)
    seen = steps * settings.batch_size
    row = result(count_parameters(network), seen, trained, pictures, labels, taken, evaluations, owners)
    return {**row, **choice}


def enough(folder: Path, info: Mapping) -> float:
    """The fidelity that is aimed at: `FAITHFUL` on MNIST, else what the judge says of real pictures."""
    from quartet.datasets.images import load_images

    if source_of(info) == "mnist":
        return FAITHFUL
    judge = judge_of(folder, CHOOSING)
    device = next(judge.network.parameters()).device
    return fidelity(judge, *(part.to(device) for part in load_images(folder, "validation")))


def weakest_faithful_choice(folder: Path, draw: Callable, count: int, goal: float = FAITHFUL) -> dict[str, float]:
    """The first of `CHOICES` whose fidelity is at least `goal` plus a standard error, or the last one.

    Fidelity grows along `CHOICES`, so this is a binary search.
    """

    def faithful(choice: dict[str, float]) -> bool:
        pictures, labels, *_ = draw(choice, count)
        share = fidelity(judge_of(folder, CHOOSING), pictures, labels)
        return share - math.sqrt(share * (1 - share) / count) >= goal

    return CHOICES[bisect.bisect_left(CHOICES, True, hi=len(CHOICES) - 1, key=faithful)]


@functools.cache
def judge_of(folder: Path, seed: int):
    """Train a judge on the training images in `folder`."""
    from quartet.artifacts.writing import read_json
    from quartet.datasets.images import load_images
    from quartet.images.training.image_training import ImageTraining
    from quartet.text_to_image.judge import Judge
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.devices import pick_device
    from quartet.training.loop import train
    from quartet.training.seeding import seed_everything

    device, info = pick_device(Runtime()), read_json(folder / "info.json")
    settings = JUDGES[source_of(info)]
    pairs = {"train": load_images(folder, "train"), "held_out": load_images(folder, "validation")}
    seed_everything(seed)
    task = ImageTraining(settings, info, device, seed=seed, **pairs).task()
    outcome = train(task, settings, seed=seed, device=device, checkpoint=NoCheckpoint())
    network = task.network.eval()
    network.load_state_dict(outcome.weights)
    return Judge(network, info, batch_size=JUDGED_AT_ONCE)


def fidelity(judge, pictures, labels) -> float:
    """The share of drawn pictures in which the judge sees the class that was asked for."""
    return (judge.classes_of(pictures) == labels).float().mean().item()


def scores_of_all(folder: Path, drawn: list[tuple]) -> list[dict[str, float]]:
    """What `scores_of` says of each model's pictures; they share the judge."""
    return [scores_of(folder, *each) for each in drawn]


def scores_of(folder: Path, pictures, labels, owners=None) -> dict[str, float]:
    """The judge's scores of the pictures, and the test accuracy of a classifier that is trained on them.

    `owners` are the test pictures whose captions were drawn, if they have captions of their own.
    """
    import torch

    from quartet.datasets.images import load_images
    from quartet.text_to_image.classifier_accuracy import accuracy_after_training
    from quartet.text_to_image.generated_images import fid_ratio, variance_ratio
    from quartet.text_to_image.sweep import FID_DRAWS
    from quartet.training.devices import pick_device

    judge, device = judge_of(folder, SCORING), pick_device(Runtime())

    def on_device(pair):
        return tuple(part.to(device) for part in pair)

    drawn = on_device((torch.from_numpy(pictures), torch.from_numpy(labels)))
    train, test = (on_device(load_images(folder, split)) for split in ("train", "test"))
    scores = {"fidelity": fidelity(judge, *drawn), "judge_accuracy": fidelity(judge, *test)}
    feature_sets = [(judge.features_of(images), owners) for images, owners in (drawn, test, train)]
    ratio, spread = fid_ratio(*feature_sets, draws=FID_DRAWS, seed=0)
    scores |= {"fid_ratio": ratio, "fid_ratio_spread": spread, "variance_ratio": variance_ratio(*drawn, *train)}
    for count in FEWER:
        if count < len(pictures):
            first = tuple(part[:count] for part in feature_sets[0])
            scores[f"fid_ratio_{count}"], _ = fid_ratio(first, *feature_sets[1:], draws=FID_DRAWS, seed=0)
    settings = JUDGES[source_of(judge.data)]
    scores["cas_accuracy"] = accuracy_after_training(settings, judge.data, device, seed=0, train=drawn, test=test)
    scores["cas_accuracy_real"] = accuracy_of_real(folder, len(pictures))
    if owners is not None:
        scores |= attribute_scores_of(folder, drawn[0], torch.from_numpy(owners).to(device))
    return {name: round(score, 4) for name, score in scores.items()}


@functools.cache
def accuracy_of_real(folder: Path, count: int) -> float:
    """The test accuracy of a classifier that is trained on `count` real pictures."""
    from quartet.artifacts.writing import read_json
    from quartet.datasets.images import load_images
    from quartet.text_to_image.classifier_accuracy import accuracy_after_training
    from quartet.training.devices import pick_device

    info, device = read_json(folder / "info.json"), pick_device(Runtime())
    train, test = (tuple(part.to(device) for part in load_images(folder, split)) for split in ("train", "test"))
    settings = JUDGES[source_of(info)]
    return accuracy_after_training(settings, info, device, seed=0, train=some(train, count), test=test)


def attribute_scores_of(folder: Path, pictures, owners) -> dict[str, float]:
    """The shares of pictures with the parts, such as character and style, of the caption that was asked for."""
    from quartet.artifacts.writing import read_json
    from quartet.text_to_image.attribute_judge import AttributeJudge, attribute_scores
    from quartet.text_to_image.captioned_pictures import load_captioned
    from quartet.text_to_image.captions.attributes import attributes_of

    info, device = read_json(folder / "info.json"), pictures.device
    attributes = attributes_of(info)
    if not attributes.names:
        return {}
    train, test = (load_captioned(folder, split, info, device) for split in ("train", "test"))
    pairs, settings = (train.images, train.attributes), JUDGES[source_of(info)]
    judge = AttributeJudge(attributes, settings, info, pairs, device, seed=SCORING)
    asked = test.attributes[owners]
    scores = attribute_scores(
        attributes,
        drawn=(judge.seen_in(pictures), asked),
        real=(judge.seen_in(test.images), test.attributes),
        unseen=tuple(attributes.unseen_compositions(train.attributes, each) for each in (asked, test.attributes)),
    )
    wanted = [*attributes.parts, "unseen_compositions"]
    return {name: score for name, score in scores.items() if name.endswith(tuple(f"_{part}" for part in wanted))}


def some(pair, count: int):
    """Evenly spaced pictures and their labels, since a folder's are sorted by class; all if there are no more."""
    import torch

    chosen = torch.linspace(0, len(pair[0]) - 1, min(count, len(pair[0]))).long().to(pair[0].device)
    return tuple(part[chosen] for part in pair)


def summary(table: pd.DataFrame) -> str:
    """The table in Markdown, one model per column."""
    return "\n".join(_rows(table)) + "\n"


def _rows(table: pd.DataFrame) -> Iterator[str]:
    yield "| | " + " | ".join(table.arm) + " |"
    yield "|---|" + "---|" * len(table)
    for name in table.columns.drop("arm"):
        yield f"| {name.replace('_', ' ')} | " + " | ".join(f"{value:,.10g}" for value in table[name]) + " |"


if __name__ == "__main__":
    typer.run(main)
