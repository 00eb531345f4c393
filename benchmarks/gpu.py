"""Benchmarks on a GPU: `python -m benchmarks.gpu --mirror ../shared/data`.

Trains `compact` on MNIST with three recipes and five seeds; the reference network in the textbook loop and in ours,
with and without torch's compiler; text to image on MNIST for two minutes, then draws 10,000 pictures; and a language
model on tiny-shakespeare by characters for 30 and 90 seconds. Times are of training only; before each MNIST recipe, a
short training warms up the GPU. Writes `gpu.csv` and `gpu.md` into `reports/benchmarks`. Takes about seven minutes.

Recipes were chosen on validation data; scores are on the test splits.
"""

import dataclasses
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks import diffusion, images, language
from benchmarks.measuring import in_own_process, prepare_mnist
from quartet.images.settings import PreprocessImages
from quartet.text_to_image.settings import TrainDiffusion

SEEDS = 5
IMAGES = {name: images.COMPACT[name] for name in ("99.0 %", "99.5 %", "99.7 %")}
THROUGHPUT_STEPS = 400
TEXT = {
    30.0: language.OURS[language.LONGEST],
    90.0: dataclasses.replace(
        language.OURS[language.LONGEST], width=256, heads=4, dropout=0.2, weight_decay=0.7, ema=0.999
    ),
}
PICTURES = TrainDiffusion(width=64, batch_size=256, ema=0.999)
PICTURE_SECONDS, DRAWN = 115.0, 10_000  # below two minutes, since the number of steps is an estimate


def main(
    mirror: Annotated[
        str | None, typer.Option(help="Folder or URL with MNIST and tiny-shakespeare; by default their official sites.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmarks and write the table."""
    import torch

    from quartet.artifacts.writing import write_table, write_text

    if not torch.cuda.is_available():
        raise SystemExit("this machine has no GPU: torch.cuda.is_available() is False")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(mirror, Path(folder)):
            print(row, flush=True)
            rows.append(row)
    table = pd.DataFrame(rows)
    write_table(out / "gpu.csv", table)
    write_text(out / "gpu.md", summary(table, torch.cuda.get_device_name()))
    print((out / "gpu.md").read_text())


def measure(mirror: str | None, folder: Path) -> Iterator[dict]:
    """Yield one row per figure: what was measured, the training time, the figure."""
    own, large = folder / "28", folder / "48"
    prepare_mnist(mirror, own, PreprocessImages())
    prepare_mnist(mirror, large, PreprocessImages(size=48, channels=3))
    for target, accuracies, seconds in in_own_process(train_images, own)[0]:
        spread = statistics.stdev(accuracies)
        what = f"MNIST, recipe for {target}: test accuracy, mean of {SEEDS} seeds (± {spread:.4f})"
        yield table_row(what, max(seconds), statistics.mean(accuracies))
    textbook = in_own_process(textbook_speed, own)[0]  # the textbook loop resizes the images itself
    yield table_row("reference network, the textbook's loop: images per second", None, textbook)
    for compiled in (False, True):
        warm_up, ours = in_own_process(reference_speed, large, compiled)[0]
        what = "reference network, our loop, compiled" if compiled else "reference network, our loop"
        yield table_row(f"{what}: images per second", None, ours)
        yield table_row(f"{what}: as a multiple of the textbook's", None, ours / textbook)
        yield table_row(f"{what}: seconds of warm-up", None, warm_up)
    drawn, _ = in_own_process(diffusion.train_ours, own, PICTURES, PICTURE_SECONDS, DRAWN)
    how = ", ".join(f"{name} {drawn[name]:g}" for name in ("guidance", "temperature", "rejection"))
    yield table_row(f"{DRAWN:,} pictures drawn ({how}): seconds", None, drawn["seconds_per_1000_drawn"] * DRAWN / 1000)
    scores, _ = in_own_process(diffusion.scores_of, own, drawn["pictures"], drawn["labels"])
    for name, value in scores.items():
        yield table_row(f"text to image, MNIST: {name.replace('_', ' ')}", drawn["training_seconds"], value)
    text = language.prepare(mirror, folder / "text")
    for limit, settings in TEXT.items():
        points, _ = in_own_process(language.train_ours, text, settings, limit)
        tokens, seconds, nats = points[-1]
        yield table_row(f"tiny-shakespeare, {tokens / 1e6:.0f} million characters: nats per character", seconds, nats)


def table_row(what: str, seconds: float | None, figure: float) -> dict:
    """A row of the table."""
    return {"what": what, "seconds": seconds and round(seconds, 2), "figure": round(figure, 5)}


def train_images(folder: Path) -> list[tuple[str, list[float], list[float]]]:
    """Each recipe with the accuracies and seconds of all seeds."""
    found = []
    for target, settings in IMAGES.items():
        images.run_ours(folder, dataclasses.replace(settings, steps=20), 0, 20, True)  # warms up
        ends = [images.run_ours(folder, settings, seed, settings.steps, True)[-1] for seed in range(SEEDS)]
        found.append((target, [scores["accuracy"] for *_, scores in ends], [seconds for _, seconds, _ in ends]))
    return found


def reference_speed(folder: Path, compiled: bool) -> tuple[float, float]:
    """The reference network in our loop: seconds of warm-up, and images per second after it."""
    steps = THROUGHPUT_STEPS
    settings = dataclasses.replace(images.REFERENCE, steps=10 * steps, compile=compiled)
    points = images.run_ours(folder, settings, 0, steps, False)
    (first, begun, _), (last, ended, _) = points[0], points[-1]
    speed = (last - first) / (ended - begun)
    return begun - first / speed, speed


def textbook_speed(folder: Path) -> float:
    """Images per second of the reference network in the textbook loop."""
    (first, begun, _), (last, ended, _) = images.run_textbook(folder, [640, 640 + 64 * THROUGHPUT_STEPS], False)
    return (last - first) / (ended - begun)


def summary(table: pd.DataFrame, device: str) -> str:
    """The table in Markdown."""
    lines = [f"| {device} | training time | figure |", "|---|---|---|"]
    for row in table.itertuples():
        seconds = "" if pd.isna(row.seconds) else f"{row.seconds:.1f} s"
        lines.append(f"| {row.what} | {seconds} | {row.figure:,.5g} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
