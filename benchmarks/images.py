"""Image classification compared with the textbook loop: `python -m benchmarks.images --mirror ../shared/data`.

In one run, on MNIST: images per second and peak memory of the same network (`reference`) in the textbook loop and in
ours, then test accuracy over training time for both and for `compact`. Writes `images.csv` (every measured point),
`images.md` (the table) and `images.png` into `reports/benchmarks`. Takes an hour and a quarter on 2 cores.
`--no-longest` leaves out the longest recipe, which takes a quarter of an hour; `--ours-alone` measures only `compact`
and writes `images-ours.csv` and `images-ours.md`.

All train on all 60,000 training images and are scored on the 10,000 test images; the recipes were chosen on a
validation split of the training images. Times are of training only, without start-up and scoring.
"""

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.measuring import in_own_process, mean_and_spread, prepare_mnist, scores_over_time
from quartet.images.settings import PreprocessImages, TrainCnn
from quartet.params.shared import Runtime
from quartet.settings import preset

Point = tuple[int, float, dict[str, float]]  # images seen, seconds of training, scores on the test images

TARGETS = (0.98, 0.99, 0.995, 0.997)
THROUGHPUT_ROUNDS, THROUGHPUT_IMAGES = 3, 64 * 40
REFERENCE_EPOCHS = 5  # as in the textbook

REFERENCE = replace(preset("textbook-mnist").training("cnn"), epochs=None)  # the textbook's settings, in our loop
# The presets of `compact`, by the accuracy that each aims at.
COMPACT = {
    "99.0 %": preset("mnist-2s").training("cnn"),
    "99.5 %": preset("mnist-10s").training("cnn"),
    "99.7 %": preset("mnist-2min").training("cnn"),
    "99.78 %": preset("mnist-15min").training("cnn"),
}


def main(
    mirror: Annotated[str | None, typer.Option(help="Folder or URL with MNIST; by default its official site.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds per recipe of `compact`; the longest has one.", min=1)] = 5,
    epochs: Annotated[float, typer.Option(help="Epochs of the textbook loop, with one seed.", min=0.01, max=2)] = 2.0,
    ours_alone: Annotated[bool, typer.Option(help="Only `compact`, without the reference network.")] = False,
    longest: Annotated[bool, typer.Option(help="Also the recipe of `compact` that takes a quarter of an hour.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for the table and the plot.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the table and the plot."""
    from quartet.artifacts.writing import write_table, write_text

    with tempfile.TemporaryDirectory() as folder:
        own, large = Path(folder, "28"), Path(folder, "48")
        prepare_mnist(mirror, own, PreprocessImages())
        points, throughput = list(measure_compact(own, seeds, longest)), {}
        if not ours_alone:
            prepare_mnist(mirror, large, PreprocessImages(size=48, channels=3))
            throughput = measure_throughput(own, large)
            points += measure_reference(own, large, epochs)
    table = pd.DataFrame(points)
    name = "images-ours" if ours_alone else "images"
    write_table(out / f"{name}.csv", table)
    write_text(out / f"{name}.md", summary(table, throughput))
    if not ours_alone:
        plot(table, out / "images.png")
    print((out / f"{name}.md").read_text())


def measure_throughput(own: Path, large: Path) -> dict[str, list]:
    """Images per second and peak memory of the same network in both loops, which take turns.

    `own` holds the original images, which the textbook loop resizes in every epoch; `large` holds them as 48×48 RGB.
    """
    measured: dict[str, list] = {"textbook": [], "ours": []}
    for _ in range(THROUGHPUT_ROUNDS):
        textbook = in_own_process(run_textbook, own, [THROUGHPUT_IMAGES], False)
        steps = THROUGHPUT_IMAGES // REFERENCE.batch_size
        ours = in_own_process(run_ours, large, replace(REFERENCE, steps=steps), 0, steps, False)
        for name, (points, memory) in (("textbook", textbook), ("ours", ours)):
            images, seconds, _ = points[-1]
            measured[name].append((images / seconds, memory))
            print(f"{name}: {images / seconds:.0f} images per second, {memory:.2f} GiB", flush=True)
    return measured


def measure_compact(own: Path, seeds: int, longest: bool) -> Iterator[dict]:
    """Test accuracy after each recipe in `COMPACT`; the longest one has one seed or is left out."""
    *_, last = COMPACT
    for target, settings in COMPACT.items():
        for seed in range(int(longest) if target == last else seeds):
            points, _ = in_own_process(run_ours, own, settings, seed, settings.steps, True)
            yield from rows(f"compact {target}", seed, points)


def measure_reference(own: Path, large: Path, epochs: float) -> Iterator[dict]:
    """Test accuracy over training time of the reference network, in our loop and for `epochs` in the textbook loop."""
    settings = replace(REFERENCE, steps=REFERENCE_EPOCHS * 60000 // REFERENCE.batch_size)
    points, _ = in_own_process(run_ours, large, settings, 0, -(-settings.steps // (2 * REFERENCE_EPOCHS)), True)
    yield from rows("reference", 0, points)
    marks = [round(epochs * share * 60000) for share in (0.25, 0.5, 0.75, 1)]
    points, _ = in_own_process(run_textbook, own, marks, True)
    yield from rows("textbook", 0, points)


def rows(arm: str, seed: int, points: list[Point]) -> Iterator[dict]:
    """Rows of the table, one per point."""
    for images, seconds, scores in points:
        print(f"{arm}, seed {seed}: {scores['accuracy']:.4f} after {seconds:.1f} s, {images} images", flush=True)
        accuracies = {"accuracy": scores["accuracy"], "augmented": scores.get("augmented")}
        yield {"arm": arm, "seed": seed, "images": images, "seconds": round(seconds, 2), **accuracies}


def load(folder: Path):
    """All training images (including the validation split) and the test images, each with labels."""
    import torch

    from quartet.datasets.images import load_images

    train, validation = load_images(folder, "train"), load_images(folder, "validation")
    return tuple(torch.cat(pair) for pair in zip(train, validation, strict=True)), load_images(folder, "test")


def run_textbook(folder: Path, marks: list[int], scored: bool) -> list[Point]:
    """Train the reference network in the textbook loop; returns a point at each mark, in images seen."""
    import torch

    from benchmarks.textbook_loop import textbook_accuracy, textbook_training
    from quartet.images.networks.reference import ReferenceCnn
    from quartet.training.devices import pick_device

    torch.manual_seed(0)
    (images, labels), test = load(folder)
    network = ReferenceCnn(classes=10, dropout=0.5, activation="relu").to(pick_device(Runtime()))
    points = []
    for seen, seconds in textbook_training(network, images, labels):
        if seen >= marks[len(points)]:
            points.append((seen, seconds, {"accuracy": textbook_accuracy(network, *test)} if scored else {}))
            if len(points) == len(marks):
                return points
    return points


def run_ours(folder: Path, settings: TrainCnn, seed: int, every: int, scored: bool) -> list[Point]:
    """Train in our loop; returns a point every `every` steps, with and without test-time augmentation."""
    from quartet.artifacts.writing import read_json
    from quartet.datasets.images import normalise
    from quartet.images.shifted_views import shifted_probabilities
    from quartet.images.training.image_training import ImageTraining
    from quartet.training.devices import pick_device
    from quartet.training.seeding import seed_everything

    device = pick_device(Runtime())
    seed_everything(seed)
    training, test = load(folder)
    info = read_json(folder / "info.json")
    settings = replace(settings, validate_every=every)
    task = ImageTraining(settings, info, device, seed=seed, train=training, held_out=test).task()
    images, labels = (part.to(device) for part in test)

    def prepare(pixels):
        return normalise(pixels, info["mean"], info["std"])

    def validate(network):
        augmented = shifted_probabilities(network, images, prepare, batch_size=256).argmax(dim=1)
        return {**task.validate(network), "augmented": (augmented == labels).float().mean().item()}

    scored_task = replace(task, validate=validate if scored else lambda network: {"score": 0.0})
    return scores_over_time(scored_task, settings, seed, device)


def summary(table: pd.DataFrame, throughput: dict[str, list]) -> str:
    """The table in Markdown."""
    lines = []
    if throughput:
        lines += [*throughput_rows(throughput), ""]
    lines += [
        "| arm | seeds | images seen | training time | test accuracy | mean answer over five shifts |",
        "|---|---|---|---|---|---|",
    ]
    for (arm, images), runs in table.groupby(["arm", "images"], sort=False):
        seconds = f"{runs.seconds.mean():.1f} s" + (f" (at most {runs.seconds.max():.1f})" if len(runs) > 1 else "")
        accuracies = f"{mean_and_spread(runs.accuracy)} | {mean_and_spread(runs.augmented)}"
        lines.append(f"| {arm} | {len(runs)} | {images:,} | {seconds} | {accuracies} |")
    lines += ["", "| test accuracy | " + " | ".join(f"{target:.1%}" for target in TARGETS) + " |"]
    lines.append("|---|" + "---|" * len(TARGETS))
    for name in ("textbook", "reference", "compact"):
        arms = table[table.arm.str.startswith(name)]
        if arms.empty:
            continue
        means = arms.groupby(["arm", "images"]).agg({"seconds": "mean", "accuracy": "mean"})
        reached = [means[means.accuracy >= target].seconds.min() for target in TARGETS]
        shown = [f"{value:.1f} s" if value == value else f"not in {arms.seconds.max():.0f} s" for value in reached]
        if name == "textbook":
            expected = [extrapolated(means, target) for target in TARGETS]
            shown = [
                text if value == value else f"{text}; about {later:.0f} s, extrapolated"
                for text, value, later in zip(shown, reached, expected, strict=True)
            ]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def throughput_rows(throughput: dict[str, list]) -> list[str]:
    """Rows with images per second and memory of both loops, and their ratios."""
    speed = {name: statistics.median(rate for rate, _ in rounds) for name, rounds in throughput.items()}
    memory = {name: max(gibibytes for _, gibibytes in rounds) for name, rounds in throughput.items()}
    return [
        "| `reference`, batch 64 | images per second | peak memory |",
        "|---|---|---|",
        *(f"| {name} | {speed[name]:.0f} | {memory[name]:.2f} GiB |" for name in speed),
        f"| ratio | {speed['ours'] / speed['textbook']:.2f} | {memory['ours'] / memory['textbook']:.2f} |",
    ]


def extrapolated(means: pd.DataFrame, accuracy: float) -> float:
    """Seconds until an accuracy is reached, by a power law fitted to error over time."""
    slope, offset = np.polyfit(np.log(means.seconds), np.log(1 - means.accuracy), 1)
    return float(np.exp((np.log(1 - accuracy) - offset) / slope))


def plot(table: pd.DataFrame, path: Path) -> None:
    """Test error over training time."""
    from matplotlib.figure import Figure

    from quartet.reporting.drawing.figures import BLUE, GREY, ORANGE, save_figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, colour in (("textbook", GREY), ("reference", ORANGE), ("compact", BLUE)):
        arms = table[table.arm.str.startswith(name)]
        label = {"textbook": "textbook loop", "reference": "same network, our loop", "compact": "compact, our loop"}[
            name
        ]
        means = arms.groupby(["arm", "images"], sort=False).agg({"seconds": "mean", "accuracy": "mean"})
        axes.plot(means.seconds, 100 * (1 - means.accuracy), "o-", color=colour, label=label)
        axes.plot(arms.seconds, 100 * (1 - arms.accuracy), ".", color=colour, alpha=0.35)
    axes.set(
        xscale="log", yscale="log", xlabel="training time, s", ylabel="test error, %", title="MNIST on this machine"
    )
    axes.set_yticks([0.2, 0.3, 0.5, 1, 2, 5], ["0.2", "0.3", "0.5", "1", "2", "5"])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    typer.run(main)
