"""Recurrent cells compared with the usual LSTM loop: `python -m benchmarks.sequences --mirror ../shared/data`.

In one run, on MNIST read by rows (28 steps), by the pixels of half-size images (196) and by pixels (784): sequence
steps per second of each cell in our loop, and of `torch.nn.LSTM` in a loop with a `DataLoader` and `.item()` after
every batch, all with two layers of 128 units and batches of 64. Then test accuracy over training time by rows, and for
minGRU by pixels. Writes `sequences.csv`, `sequences_accuracy.csv`, `sequences.md` and `sequences.png` into
`reports/benchmarks`. Takes about an hour on 2 cores, half of it for minGRU by pixels.

For accuracies, all train on all 60,000 training images and are scored on the 10,000 test images; the recipes were
chosen on a validation split of the training images. Times are of training only, without start-up and scoring.
"""

import contextlib
import dataclasses
import importlib
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.measuring import in_own_process, mean_and_spread, prepare_mnist, scores_over_time
from quartet.images.settings import PreprocessImages
from quartet.params.shared import Runtime
from quartet.sequences.settings import PreprocessSequences, TrainRnn
from quartet.settings import preset

CELLS = ("rnn", "lstm", "gru", "mingru")
ROUNDS, HIDDEN, LAYERS, BATCH, EXAMPLES = 3, 128, 2, 64, 2048
TRAINING_STEPS = {28: 40, 196: 10, 784: 4}  # by length, so that each measurement takes a few seconds

ROWS = {
    "one minute": preset("mnist-rows-1min").training("rnn"),
    "eight minutes": preset("mnist-rows-7min").training("rnn"),
}
PIXELS = preset("mnist-pixels").training("rnn")


def main(
    mirror: Annotated[str | None, typer.Option(help="Folder or URL with MNIST; by default its official site.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds of the one-minute recipe; the others have one.", min=1)] = 5,
    epochs: Annotated[float, typer.Option(help="Epochs of the usual LSTM by rows.", min=0.01)] = 2.0,
    minutes: Annotated[float, typer.Option(help="Minutes of training minGRU by pixels; 0 leaves it out.", min=0)] = 30,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the plot.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the tables and the plot."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a comparison on the CPU
    from quartet.artifacts.writing import write_table, write_text

    importlib.import_module("torch._dynamo")  # imported by torch's optimizers on first use, which is not training time
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder)
        prepare_mnist(mirror, images, PreprocessImages())
        rates = pd.DataFrame(measure_rates(images))
        write_table(out / "sequences.csv", rates)
        rate = rates[(rates.length == 784) & (rates.cell == "mingru")].steps_per_second.median()
        points = pd.DataFrame(measure_accuracy(images, seeds, epochs, round(minutes * 60 * rate / (784 * BATCH))))
    write_table(out / "sequences_accuracy.csv", points)
    write_text(out / "sequences.md", summary(rates, points))
    plot(points[points.task == "rows"], out / "sequences.png")
    print((out / "sequences.md").read_text())


def measure_rates(images: Path):
    """Sequence steps per second of every cell at every length, in several rounds; one row per measurement."""
    for length, sequences, labels in sequence_sets(images):
        for number in range(ROUNDS):
            for name in ("usual LSTM", *CELLS):
                measure = usual_lstm if name == "usual LSTM" else our_loop
                steps = TRAINING_STEPS[length]
                rate = BATCH * length * steps / measure(name, sequences, labels, steps)
                print(f"{length} steps, {name}: {rate:,.0f} steps per second", flush=True)
                yield {"length": length, "cell": name, "round": number, "steps_per_second": round(rate)}


def measure_accuracy(images: Path, seeds: int, epochs: float, pixel_steps: int):
    """Test accuracy over training time of all recipes; one row per scoring."""

    def rows(task, arm, seed, points):
        for examples, seconds, accuracy in points:
            print(f"{task}, {arm}, seed {seed}: {accuracy:.4f} after {seconds:.1f} s", flush=True)
            row = {"task": task, "arm": arm, "seed": seed, "examples": examples}
            yield {**row, "seconds": round(seconds, 2), "accuracy": accuracy}

    for arm, settings in ROWS.items():
        for seed in range(seeds if arm == "one minute" else 1):
            points, _ = in_own_process(train_ours, images, "image-rows", settings, seed, settings.steps)
            yield from rows("rows", arm, seed, points)
    points, _ = in_own_process(train_usual_lstm, images, epochs)
    yield from rows("rows", "usual LSTM", 0, points)
    if pixel_steps:
        settings = dataclasses.replace(PIXELS, steps=pixel_steps)
        points, _ = in_own_process(train_ours, images, "image-pixels", settings, 0, -(-pixel_steps // 6))
        yield from rows("pixels", "minGRU", 0, points)


def train_ours(images: Path, kind: str, settings: TrainRnn, seed: int, every: int) -> list[tuple[int, float, float]]:
    """Train in our loop on all training images; returns `(sequences, seconds, test accuracy)` every `every` steps."""
    import torch

    from quartet.artifacts.writing import write_json
    from quartet.sequences.loading import Sequences, load_sequences
    from quartet.sequences.preparation import prepare_sequences
    from quartet.sequences.training.sequence_training import SequenceTraining
    from quartet.training.devices import pick_device
    from quartet.training.seeding import seed_everything

    settings = dataclasses.replace(settings, validate_every=every)
    device = pick_device(Runtime())
    seed_everything(seed)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw")
        write_json(raw / "manifest.json", {"source": kind})
        info = prepare_sequences(raw, Path(folder), PreprocessSequences(), images)
        splits = [load_sequences(Path(folder), split) for split in ("train", "validation", "test")]
    every_part = zip(*(dataclasses.astuple(split) for split in splits[:2]), strict=True)
    parts = {"train": Sequences(*map(torch.cat, every_part)), "held_out": splits[2]}
    task = SequenceTraining(settings, info, device, seed=seed, **parts).task()
    points = scores_over_time(task, settings, seed, device)
    return [(examples, seconds, scores["accuracy"]) for examples, seconds, scores in points]


def train_usual_lstm(images: Path, epochs: float) -> list[tuple[int, float, float]]:
    """Train torch's LSTM in the usual loop; returns `(sequences, seconds, test accuracy)` at four times."""
    import torch

    from quartet.datasets.images import load_images

    loaded = [load_images(images, split) for split in ("train", "validation", "test")]
    rows, labels = (torch.cat(pair) for pair in zip(*loaded[:2], strict=True))
    test_rows, test_labels = loaded[2]
    network, training = usual_training(rows[:, 0].float() / 255, labels)
    steps = round(epochs * len(labels) / BATCH)
    points, scoring, begin = [], 0.0, time.perf_counter()
    for step in range(1, steps + 1):
        next(training)
        if step in {round(steps * share) for share in (0.25, 0.5, 0.75, 1)}:
            start = time.perf_counter()
            with torch.no_grad():
                right = (network(test_rows[:, 0].float() / 255).argmax(1) == test_labels).float().mean().item()
            points.append((step * BATCH, start - begin - scoring, right))
            scoring += time.perf_counter() - start
    return points


def sequence_sets(images: Path):
    """Yield `(length, sequences (examples, length, features) in [0, 1], labels)` for each length."""
    from torch.nn import functional as F

    from quartet.datasets.images import load_images

    images, labels = load_images(images, "validation")
    pictures, labels = images[:EXAMPLES].float() / 255, labels[:EXAMPLES]
    yield 28, pictures[:, 0], labels
    yield 196, F.avg_pool2d(pictures, 2).flatten(1)[..., None], labels
    yield 784, pictures.flatten(1)[..., None], labels


def usual_training(sequences, labels):
    """The usual training loop: returns the network, and an iterator that trains it on one batch at a time."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(sequences.shape[2], HIDDEN, LAYERS, batch_first=True)
            self.classifier = nn.Linear(HIDDEN, 10)

        def forward(self, inputs):
            return self.classifier(self.lstm(inputs)[0][:, -1])

    def training():
        optimizer, criterion = torch.optim.Adam(network.parameters(), lr=1e-3), nn.CrossEntropyLoss()
        loader = DataLoader(TensorDataset(sequences, labels), batch_size=BATCH, shuffle=True)
        total = 0.0
        while True:
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = criterion(network(inputs), targets)
                loss.backward()
                optimizer.step()
                total += loss.item()
                yield

    network = Lstm()
    return network, training()


def usual_lstm(name: str, sequences, labels, steps: int) -> float:
    """Seconds for `steps` steps of the usual loop."""
    _, training = usual_training(sequences, labels)
    next(training)  # the first step warms up
    start = time.perf_counter()
    for _ in range(steps):
        next(training)
    return time.perf_counter() - start


def our_loop(cell: str, sequences, labels, steps: int) -> float:
    """Seconds for `steps` steps of our loop, without validation."""
    import torch
    from torch.nn import functional as F

    from quartet.datasets.batches import ShuffledBatches
    from quartet.sequences.networks.recurrent import RecurrentClassifier
    from quartet.sequences.settings import TrainRnn
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.loop import train
    from quartet.training.task import Task

    torch.manual_seed(0)
    device = torch.device("cpu")
    network = RecurrentClassifier(
        features=sequences.shape[2],
        classes=10,
        cell=cell,
        hidden_size=HIDDEN,
        layers=LAYERS,
        bidirectional=False,
        pooling="last",
        dropout=0.0,
    )
    batches = ShuffledBatches(len(sequences), BATCH, 0, device)
    times: list[float] = []

    def examples_at(number):
        times.append(time.perf_counter())
        return (batches.indices(number),)

    def batch_of(examples, generator):
        (chosen,) = examples
        return sequences[chosen], labels[chosen]

    def loss_of(network, batch):
        return F.cross_entropy(network(batch[0]), batch[1])

    def validate(network):
        times.append(time.perf_counter())
        return {"score": 0.0}

    settings = TrainRnn(ema=0.0, clip=0.0, precision="bfloat16", steps=steps + 1, validate_every=steps + 1)
    task = Task(network, examples_at, batch_of, loss_of, validate, steps=steps + 1, validate_every=steps + 1)
    with contextlib.redirect_stdout(io.StringIO()):
        train(task, settings, seed=0, device=device, checkpoint=NoCheckpoint())
    return times[-1] - times[1]  # the first step warms up


def summary(rates: pd.DataFrame, points: pd.DataFrame) -> str:
    """Tables in Markdown: median rates with their ratios to the usual LSTM's, and accuracies."""
    medians = rates.groupby(["length", "cell"], sort=False).steps_per_second.median()
    lengths = list(dict.fromkeys(rates.length))
    lines = ["| steps per second | " + " | ".join(f"length {length}" for length in lengths) + " |"]
    lines.append("|---|" + "---|" * len(lengths))
    for cell in dict.fromkeys(rates.cell):
        shown = [f"{medians[n, cell]:,.0f} ({medians[n, cell] / medians[n, 'usual LSTM']:.2f}×)" for n in lengths]
        lines.append(f"| {cell} | " + " | ".join(shown) + " |")
    lines += [
        "",
        "| MNIST by | arm | seeds | sequences seen | training time | test accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for (task, arm, examples), scored in points.groupby(["task", "arm", "examples"], sort=False):
        longest = f" (at most {scored.seconds.max():.0f})" if len(scored) > 1 else ""
        seconds, accuracy = f"{scored.seconds.mean():.0f} s{longest}", mean_and_spread(scored.accuracy)
        lines.append(f"| {task} | {arm} | {len(scored)} | {examples:,} | {seconds} | {accuracy} |")
    return "\n".join(lines) + "\n"


def plot(points: pd.DataFrame, path: Path) -> None:
    """Test error over training time, by rows."""
    from matplotlib.figure import Figure

    from quartet.reporting.drawing.figures import BLUE, GREY, save_figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    usual, ours = points[points.arm == "usual LSTM"], points[points.arm != "usual LSTM"]
    axes.plot(usual.seconds, 100 * (1 - usual.accuracy), "o-", color=GREY, label="nn.LSTM, the usual loop")
    means = ours.groupby("arm", sort=False).agg({"seconds": "mean", "accuracy": "mean"})
    axes.plot(means.seconds, 100 * (1 - means.accuracy), "o-", color=BLUE, label="ours")
    axes.plot(ours.seconds, 100 * (1 - ours.accuracy), ".", color=BLUE, alpha=0.35)
    axes.set(xscale="log", yscale="log", xlabel="training time, s", ylabel="test error, %", title="MNIST by rows")
    axes.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axes.set_xticks([15, 30, 60, 120, 240, 480], ["15", "30", "60", "120", "240", "480"])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    typer.run(main)
