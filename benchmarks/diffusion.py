"""Text to image against the usual libraries: `python -m benchmarks.diffusion --mirror ../shared/data`.

Trains three models on the same MNIST images for the same time, in one run: our stage's plan and loop; `UNet2DModel` of
`diffusers` (about 1 million parameters at 16 pixels, 4 at 32), trained as in that library's example; and the
class-conditional UNet of `denoising-diffusion-pytorch`, of the same size and with that library's settings. Measures
images per second of training, seconds to draw 1,000 images, and the scores of a judge trained on the real images:
fidelity, fid_ratio, cas_accuracy (`quartet/text_to_image/generated_images.py`). Writes `diffusion-SIZE.csv` and
`diffusion-SIZE.md` into `reports/benchmarks`; the names also contain `-ours` with `--ours-alone`, and the seed if it is
not 0. Takes about 25 minutes on 2 cores.

The peers draw with 50 DDIM steps without guidance (the second one still runs its network twice per step). Ours draws
with 10 Heun steps, rejects up to three in ten pictures with its matcher, and uses guidance only if that is not enough:
the weakest choice with which a second judge, on other pictures, measures a fidelity of at least 99.5 % plus a standard
error. All are trained on the training split and scored against the test images.
"""

import bisect
import dataclasses
import functools
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.measuring import in_own_process, prepare_mnist
from quartet.images.settings import PreprocessImages, TrainCnn
from quartet.params.shared import Runtime
from quartet.text_to_image.settings import EvaluateDiffusion, TrainDiffusion

CLASSES, TIMES, PEER_STEPS, BATCH = 10, 1000, 50, 64
DRAWN_AT_ONCE, DRAWN_AT_ONCE_ON_GPU, JUDGED_AT_ONCE = 250, 5000, 256
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
FEWER = (1000, 2000)  # fid_ratio grows with the number of pictures, so it is also measured for these
WIDTHS = {16: (32, 64, 64), 32: (64, 128, 128)}  # of UNet2DModel: 1 and 4 million parameters
DIMENSIONS = {16: 20, 32: 40}  # of denoising-diffusion-pytorch: the same numbers of parameters
JUDGE = TrainCnn(
    width=32, precision="float32", dropout=0.0, batch_size=128, learning_rate=0.01, steps=900, validate_every=900
)


def main(
    mirror: Annotated[str | None, typer.Option(help="Folder or URL with MNIST; by default its official site.")] = None,
    size: Annotated[int, typer.Option(help="Side of the pictures; with the peers, 16 or 32.", min=16, max=32)] = 16,
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

    if not ours_alone and size not in WIDTHS:
        raise typer.BadParameter(f"--size {size}: the peers need {' or '.join(map(str, WIDTHS))}; or use --ours-alone")
    arms = {"quartet": (functools.partial(train_ours, seed=seed), TrainDiffusion(width=width, norm_groups=1))}
    if not ours_alone:
        arms["diffusers UNet2DModel"] = (train_diffusers, WIDTHS[size])
        arms["denoising-diffusion-pytorch"] = (train_denoising_diffusion, DIMENSIONS[size])
    with tempfile.TemporaryDirectory() as folder:
        prepare_mnist(mirror, Path(folder), PreprocessImages(size=size))

        def run(arm: str, given: float, cores: set[int] | None = None) -> dict:
            return measure(arm, Path(folder), *arms[arm], given, images, cores)

        if at_once:
            cores = [{2 * number, 2 * number + 1} for number in range(len(arms))]
            with ThreadPoolExecutor(len(arms)) as workers:
                rows = list(workers.map(run, arms, itertools.repeat(seconds), cores))
        else:
            ours, *peers = arms
            rows = [run(ours, seconds)]
            # Ours estimates its number of steps beforehand; the peers get the time that these steps took.
            rows += [run(peer, rows[0]["training_seconds"]) for peer in peers]
    table = pd.DataFrame(rows)
    name = f"diffusion-{size}" + ("-ours" if ours_alone else "") + (f"-seed-{seed}" if seed else "")
    write_table(out / f"{name}.csv", table)
    write_text(out / f"{name}.md", summary(table))
    print((out / f"{name}.md").read_text())


def measure(
    arm: str, folder: Path, function: Callable, sizes: object, seconds: float, images: int, cores: set[int] | None
) -> dict:
    """Train and score one model; returns its row of the table."""
    drawn, memory = in_own_process(function, folder, sizes, seconds, images, cores=cores)
    scores, _ = in_own_process(scores_of, folder, drawn.pop("pictures"), drawn.pop("labels"), cores=cores)
    row = {"arm": arm, **drawn, "peak_memory": round(memory, 2), **scores}
    print(row, flush=True)
    return row


def train_ours(folder: Path, settings: TrainDiffusion, seconds: float, images: int, seed: int = 0) -> dict:
    """Train with our stage's plan and loop for as many steps as fit in the time, then draw."""
    import torch

    from quartet.artifacts.rebuilding import count_parameters
    from quartet.artifacts.writing import read_json
    from quartet.text_to_image.captions.templates import TEMPLATES, captioner
    from quartet.text_to_image.class_pictures import draw_classes, network_evaluations_per_picture
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

    def draw(choice, count, seed):
        generator = torch.Generator(device).manual_seed(seed)
        at_once = DRAWN_AT_ONCE if device.type == "cpu" else DRAWN_AT_ONCE_ON_GPU
        return draw_classes(network, captioner(info), TEMPLATES, how_to_draw(choice, count), generator, at_once)[:2]

    choice = weakest_faithful_choice(folder, functools.partial(draw, seed=2 * seed + 1), max(images // 2, 250))
    start = time.perf_counter()
    pictures, labels = draw(choice, images, seed=2 * seed)
    wait_for(device)
    taken = time.perf_counter() - start
    evaluations = network_evaluations_per_picture(network, how_to_draw(choice, images), CLASSES)
    row = result(count_parameters(network), steps * settings.batch_size, trained, pictures, labels, taken, evaluations)
    return {**row, **choice}


def weakest_faithful_choice(folder: Path, draw: Callable, count: int) -> dict[str, float]:
    """The first of `CHOICES` whose fidelity is at least `FAITHFUL` plus a standard error, or the last one.

    Fidelity grows along `CHOICES`, so this is a binary search.
    """

    def faithful(choice: dict[str, float]) -> bool:
        share = fidelity(judge_of(folder, CHOOSING), *draw(choice, count))
        return share - math.sqrt(share * (1 - share) / count) >= FAITHFUL

    return CHOICES[bisect.bisect_left(CHOICES, True, hi=len(CHOICES) - 1, key=faithful)]


def train_diffusers(folder: Path, widths: tuple[int, ...], seconds: float, images: int) -> dict:
    """`diffusers`: epsilon, 1,000 linear steps, AdamW at 1e-4 after 500 warm-up steps, batch 64, averaged weights."""
    import torch
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
    from diffusers.training_utils import EMAModel
    from torch.nn import functional as F

    from quartet.artifacts.writing import read_json
    from quartet.training.devices import pick_device

    torch.manual_seed(0)
    info = read_json(folder / "info.json")
    network = UNet2DModel(
        sample_size=info["size"],
        in_channels=info["channels"],
        out_channels=info["channels"],
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        num_class_embeds=CLASSES,
    ).to(pick_device(Runtime()))
    schedule = DDPMScheduler(num_train_timesteps=TIMES)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def step(pictures, labels, number):
        for group in optimizer.param_groups:
            group["lr"] = 1e-4 * min(1, (number + 1) / 500)
        noise = torch.randn_like(pictures)
        times = torch.randint(TIMES, (len(pictures),), device=pictures.device)
        loss = F.mse_loss(network(schedule.add_noise(pictures, noise, times), times, labels).sample, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.step(network.parameters())

    def draw(labels):
        reverse = DDIMScheduler.from_config(schedule.config)
        reverse.set_timesteps(PEER_STEPS)
        pictures = torch.randn(len(labels), info["channels"], info["size"], info["size"], device=labels.device)
        for moment in reverse.timesteps:
            pictures = reverse.step(network(pictures, moment, labels).sample, moment, pictures).prev_sample
        return pictures

    def take_average():
        average.copy_to(network.parameters())
        network.eval()

    return train_peer(folder, network, step, draw, take_average, seconds, images, PEER_STEPS)


def train_denoising_diffusion(folder: Path, dimension: int, seconds: float, images: int) -> dict:
    """`denoising-diffusion-pytorch`, class-conditional: its defaults, Adam at 8e-5, averaged weights, batch 64."""
    import torch
    from denoising_diffusion_pytorch.classifier_free_guidance import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    from quartet.artifacts.writing import read_json
    from quartet.training.devices import pick_device

    torch.manual_seed(0)
    info = read_json(folder / "info.json")
    unet = Unet(dim=dimension, dim_mults=(1, 2, 4), num_classes=CLASSES, channels=info["channels"])
    diffusion = GaussianDiffusion(unet, image_size=info["size"], timesteps=TIMES, sampling_timesteps=PEER_STEPS)
    diffusion.to(pick_device(Runtime()))
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=8e-5, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)

    def step(pictures, labels, number):
        loss = diffusion((pictures + 1) / 2, classes=labels)  # it takes [0, 1]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        average.update()

    def draw(labels):
        # Practically no guidance: at exactly 1 its sampler fails, and at any other scale it runs the network twice.
        return average.ema_model.sample(classes=labels, cond_scale=1.0001) * 2 - 1

    return train_peer(folder, unet, step, draw, average.ema_model.eval, seconds, images, 2 * PEER_STEPS)


def train_peer(
    folder: Path,
    network,
    step: Callable,
    draw: Callable,
    finish: Callable,
    seconds: float,
    images: int,
    evaluations: int,
) -> dict:
    """Train a peer on random batches until the time is up, then draw pictures of all classes in turn.

    `evaluations` is its number of network evaluations per picture.
    """
    import torch

    from quartet.datasets.images import load_images
    from quartet.text_to_image.samplers import to_uint8
    from quartet.training.steps import wait_for

    device = next(network.parameters()).device
    train, labels = (part.to(device) for part in load_images(folder, "train"))
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        chosen = torch.randint(len(train), (BATCH,), device=device)
        step(train[chosen].float() / 127.5 - 1, labels[chosen], done)
        done += 1
    wait_for(device)
    trained = time.perf_counter() - start
    finish()
    wanted = torch.arange(images, device=device) % CLASSES
    start = time.perf_counter()
    with torch.no_grad():
        pictures = torch.cat([draw(part) for part in wanted.split(DRAWN_AT_ONCE)])
    wait_for(device)
    drawn = time.perf_counter() - start
    parameters = sum(weight.numel() for weight in network.parameters())
    return result(parameters, done * BATCH, trained, to_uint8(pictures), wanted, drawn, evaluations)


def result(
    parameters: int, seen: int, trained: float, pictures, labels, drawn: float, evaluations: float
) -> dict[str, object]:
    """The measurements and pictures of one model."""
    return {
        "parameters": parameters,
        "images_seen": seen,
        "training_seconds": round(trained, 1),
        "images_per_second": round(seen / trained, 1),
        "seconds_per_1000_drawn": round(drawn * 1000 / len(labels), 4),
        "network_evaluations": round(evaluations, 2),
        "pictures": pictures.cpu().numpy(),
        "labels": labels.cpu().numpy(),
        "guidance": 1.0,
        "temperature": 1.0,
        "rejection": 0.0,
    }


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
    pairs = {"train": load_images(folder, "train"), "held_out": load_images(folder, "validation")}
    seed_everything(seed)
    task = ImageTraining(JUDGE, info, device, seed=seed, **pairs).task()
    outcome = train(task, JUDGE, seed=seed, device=device, checkpoint=NoCheckpoint())
    network = task.network.eval()
    network.load_state_dict(outcome.weights)
    return Judge(network, info, batch_size=JUDGED_AT_ONCE)


def fidelity(judge, pictures, labels) -> float:
    """The share of drawn pictures in which the judge sees the class that was asked for."""
    return (judge.classes_of(pictures) == labels).float().mean().item()


def scores_of(folder: Path, pictures, labels) -> dict[str, float]:
    """The judge's scores of the pictures, and the test accuracy of a classifier that is trained on them."""
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
    real = tuple(part[: len(pictures)] for part in train)
    for name, pair in (("cas_accuracy", drawn), ("cas_accuracy_real", real)):
        scores[name] = accuracy_after_training(JUDGE, judge.data, device, seed=0, train=pair, test=test)
    return {name: round(score, 4) for name, score in scores.items()}


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
