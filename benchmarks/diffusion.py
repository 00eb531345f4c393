"""Text to image against the usual libraries: `python -m benchmarks.diffusion --mirror ../shared/data`.

On the same MNIST images, for the same seconds of training in one run: our stage's plan and loop; `UNet2DModel` of
`diffusers` (about 1 million parameters at 16 pixels, 4 at 32) trained as that library's example does; the
class-conditional UNet of `denoising-diffusion-pytorch` of the same size with that library's own settings. Images per
second of training, seconds to draw 1,000 images, and what a judge trained on the real images sees in them: fidelity,
fid_ratio, cas_accuracy (`quartet/evaluation/generated_images.py`). Writes `diffusion-SIZE.csv` and `diffusion-SIZE.md`
into `reports/benchmarks`. About 25 minutes on 2 cores.

The peers draw with 50 DDIM steps and ours as `evaluate` does by default; nobody is guided. All train on the training
split and are scored against the test images; nothing is chosen here.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.measuring import in_own_process, prepare_mnist
from quartet.params.sections import Params, PreprocessImages, TrainCnn, TrainDiffusion

CLASSES, TIMES, PEER_STEPS, BATCH = 10, 1000, 50, 64
DRAWN_AT_ONCE = 250
OURS = {16: TrainDiffusion(width=32), 32: TrainDiffusion(width=32)}
WIDTHS = {16: (32, 64, 64), 32: (64, 128, 128)}  # of UNet2DModel: 1 and 4 million parameters
DIMENSIONS = {16: 20, 32: 40}  # of denoising-diffusion-pytorch: as many
JUDGE = TrainCnn(width=32, dropout=0.0, batch_size=128, learning_rate=0.01, steps=900, validate_every=900)


def main(
    mirror: Annotated[
        str | None, typer.Option(help="Folder or URL that serves MNIST; its official home if none.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the pictures: 16 or 32.", min=16, max=32)] = 16,
    seconds: Annotated[float, typer.Option(help="Seconds of training of each arm.", min=1)] = 300.0,
    images: Annotated[int, typer.Option(help="Pictures drawn by each arm, and real ones they are compared to.")] = 2000,
    out: Annotated[Path, typer.Option(help="Where the table goes.")] = Path("reports/benchmarks"),
) -> None:
    """Measure, and write the table."""
    from quartet.artifacts.writing import write_table, write_text

    arms = {
        "quartet": (train_ours, OURS[size]),
        "diffusers UNet2DModel": (train_diffusers, WIDTHS[size]),
        "denoising-diffusion-pytorch": (train_denoising_diffusion, DIMENSIONS[size]),
    }
    with tempfile.TemporaryDirectory() as folder:
        prepare_mnist(mirror, Path(folder), PreprocessImages(size=size))
        rows = []
        for arm, (function, sizes) in arms.items():
            drawn, memory = in_own_process(function, Path(folder), sizes, seconds, images)
            scores, _ = in_own_process(scores_of, Path(folder), drawn.pop("pictures"), drawn.pop("labels"))
            rows.append({"arm": arm, **drawn, "peak_memory": round(memory, 2), **scores})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    write_table(out / f"diffusion-{size}.csv", table)
    write_text(out / f"diffusion-{size}.md", summary(table))
    print((out / f"diffusion-{size}.md").read_text())


def train_ours(folder: Path, settings: TrainDiffusion, seconds: float, images: int) -> dict:
    """Our stage's plan in our loop, for as many steps as fit."""
    import torch

    from quartet.artifacts.writing import read_json
    from quartet.datasets.captions import TEMPLATES, captioner
    from quartet.evaluation.diffusion import draw_classes
    from quartet.networks.building import count_parameters
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.loop import affordable_steps, train
    from quartet.training.seeding import seed_everything
    from stages.train_diffusion import diffusion_plan

    params = dataclasses.replace(Params(), train_diffusion=settings)
    device, info = torch.device("cpu"), read_json(folder / "info.json")
    seed_everything(0)
    task = dataclasses.replace(diffusion_plan(params, folder, info, device).task, validate=lambda network: {"score": 0})
    steps = affordable_steps(task, dataclasses.replace(settings, max_seconds=seconds), 0, device)
    task = dataclasses.replace(task, steps=steps, validate_every=steps)
    start = time.perf_counter()
    outcome = train(task, settings, seed=0, device=device, checkpoint=NoCheckpoint())
    trained = time.perf_counter() - start
    network = task.network.eval()
    network.load_state_dict(outcome.weights)
    how = dataclasses.replace(params.evaluate.diffusion, images=images)
    start = time.perf_counter()
    pictures, labels = draw_classes(
        network, captioner(info), TEMPLATES, how, torch.Generator().manual_seed(0), DRAWN_AT_ONCE
    )
    return result(
        count_parameters(network), steps * settings.batch_size, trained, pictures, labels, time.perf_counter() - start
    )


def train_diffusers(folder: Path, widths: tuple[int, ...], seconds: float, images: int) -> dict:
    """`diffusers`: epsilon, 1,000 linear times, AdamW at 1e-4 after 500 warm-up steps, batch 64, averaged weights."""
    import torch
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
    from diffusers.training_utils import EMAModel
    from torch.nn import functional as F

    from quartet.artifacts.writing import read_json

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
    )
    schedule = DDPMScheduler(num_train_timesteps=TIMES)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def step(pictures, labels, number):
        for group in optimizer.param_groups:
            group["lr"] = 1e-4 * min(1, (number + 1) / 500)
        noise = torch.randn_like(pictures)
        times = torch.randint(TIMES, (len(pictures),))
        loss = F.mse_loss(network(schedule.add_noise(pictures, noise, times), times, labels).sample, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.step(network.parameters())

    def draw(labels):
        reverse = DDIMScheduler.from_config(schedule.config)
        reverse.set_timesteps(PEER_STEPS)
        pictures = torch.randn(len(labels), info["channels"], info["size"], info["size"])
        for moment in reverse.timesteps:
            pictures = reverse.step(network(pictures, moment, labels).sample, moment, pictures).prev_sample
        return pictures

    def take_average():
        average.copy_to(network.parameters())
        network.eval()

    return train_peer(folder, network, step, draw, take_average, seconds, images)


def train_denoising_diffusion(folder: Path, dimension: int, seconds: float, images: int) -> dict:
    """`denoising-diffusion-pytorch`, class-conditional: its defaults, Adam at 8e-5, averaged weights, batch 64."""
    import torch
    from denoising_diffusion_pytorch.classifier_free_guidance import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    from quartet.artifacts.writing import read_json

    torch.manual_seed(0)
    info = read_json(folder / "info.json")
    unet = Unet(dim=dimension, dim_mults=(1, 2, 4), num_classes=CLASSES, channels=info["channels"])
    diffusion = GaussianDiffusion(unet, image_size=info["size"], timesteps=TIMES, sampling_timesteps=PEER_STEPS)
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
        # As good as no guidance: at exactly 1 its sampler fails.
        return average.ema_model.sample(classes=labels, cond_scale=1.0001) * 2 - 1

    return train_peer(folder, unet, step, draw, average.ema_model.eval, seconds, images)


def train_peer(
    folder: Path,
    network,
    step: Callable,
    draw: Callable,
    finish: Callable,
    seconds: float,
    images: int,
) -> dict:
    """Steps on random batches until the time is up, then pictures of all classes in turn."""
    import torch

    from quartet.datasets.images import load_images
    from quartet.evaluation.diffusion import to_uint8

    train, labels = load_images(folder, "train")
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        chosen = torch.randint(len(train), (BATCH,))
        step(train[chosen].float() / 127.5 - 1, labels[chosen], done)
        done += 1
    trained = time.perf_counter() - start
    finish()
    wanted = torch.arange(images) % CLASSES
    start = time.perf_counter()
    with torch.no_grad():
        pictures = torch.cat([draw(part) for part in wanted.split(DRAWN_AT_ONCE)])
    drawn = time.perf_counter() - start
    parameters = sum(weight.numel() for weight in network.parameters())
    return result(parameters, done * BATCH, trained, to_uint8(pictures.clamp(-1, 1)), wanted, drawn)


def result(parameters: int, seen: int, trained: float, pictures, labels, drawn: float) -> dict:
    """What an arm gives back."""
    return {
        "parameters": parameters,
        "images_seen": seen,
        "training_seconds": round(trained, 1),
        "images_per_second": round(seen / trained, 1),
        "seconds_per_1000_drawn": round(drawn * 1000 / len(labels), 2),
        "pictures": pictures.numpy(),
        "labels": labels.numpy(),
    }


def scores_of(folder: Path, pictures, labels) -> dict[str, float]:
    """What a judge that was trained on the real training images, on all of them, says of the pictures."""
    import torch

    from quartet.artifacts.writing import read_json
    from quartet.datasets.batches import normalise
    from quartet.datasets.images import load_images
    from quartet.evaluation.diffusion import CLASSIFIER, FID_DRAWS
    from quartet.evaluation.generated_images import fid_ratio, variance_ratio
    from quartet.evaluation.image_training import accuracy_after_training, image_training
    from quartet.evaluation.predictions import logits_over
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.loop import train as train_network
    from quartet.training.seeding import seed_everything

    device, info = torch.device("cpu"), read_json(folder / "info.json")
    train, test = load_images(folder, "train"), load_images(folder, "test")
    pictures, labels = torch.from_numpy(pictures), torch.from_numpy(labels)
    seed_everything(0)
    task = image_training(JUDGE, info, device, seed=0, train=train, held_out=load_images(folder, "validation")).task
    outcome = train_network(task, JUDGE, seed=0, device=device, checkpoint=NoCheckpoint())
    judge = task.network.eval()
    judge.load_state_dict(outcome.weights)

    def prepared(batch):
        return normalise(batch.float() / 255, info["mean"], info["std"])

    def features(batch):
        return judge.features_of(judge.feature_maps(batch))

    clouds = [logits_over(features, images, prepared) for images in (pictures, test[0], train[0][: len(pictures)])]
    ratio, spread = fid_ratio(*clouds, draws=FID_DRAWS, seed=0)
    per_class = train[0][: len(pictures)], train[1][: len(pictures)]
    trained = {"device": device, "seed": 0, "held_out": test}
    scores = {
        "fidelity": (logits_over(judge, pictures, prepared).argmax(dim=1) == labels).float().mean().item(),
        "judge_accuracy": (logits_over(judge, test[0], prepared).argmax(dim=1) == test[1]).float().mean().item(),
        "fid_ratio": ratio,
        "fid_ratio_spread": spread,
        "variance_ratio": variance_ratio(pictures, labels, *train),
        "cas_accuracy": accuracy_after_training(CLASSIFIER, info, train=(pictures, labels), **trained),
        "cas_accuracy_real": accuracy_after_training(CLASSIFIER, info, train=per_class, **trained),
    }
    return {name: round(score, 4) for name, score in scores.items()}


def summary(table: pd.DataFrame) -> str:
    """The table in Markdown, an arm per column."""
    return "\n".join(_rows(table)) + "\n"


def _rows(table: pd.DataFrame) -> Iterator[str]:
    yield "| | " + " | ".join(table.arm) + " |"
    yield "|---|" + "---|" * len(table)
    for name in table.columns.drop("arm"):
        yield f"| {name.replace('_', ' ')} | " + " | ".join(f"{value:,.6g}" for value in table[name]) + " |"


if __name__ == "__main__":
    typer.run(main)
