"""What training costs besides the network, and what a second process brings: `python -m benchmarks.scale`.

For each family, with its default settings and data, on the CPU:

- the share of the training loop's time outside forward, backward and update: the loop against bare steps of the same
  network on ready batches, step by step in turn; scoring, pictures and start-up are not counted;
- the FLOPs utilisation: the operations of a step, as `python -m quartet plan` counts them, by its time in the loop, as
  a share of the rate of a large matrix product in the same format;
- steps per second by one and by two processes with one thread each, in turn, with the same global batch;
- the peak memory of a process of the whole stage, above that of a process which has only imported torch.

Writes `scale.csv`, `scale.md` and `scale.png` into `reports/benchmarks`. Takes about twenty minutes on 2 cores;
leave the machine alone meanwhile.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import psutil
import typer

from benchmarks.long_runs import stage
from benchmarks.measuring import in_own_process
from quartet.families import FAMILIES

SECONDS = 0.1  # between looks at a stage's memory; the peak itself is kept by the system
PEAK = "import torch; print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
TARGET_RATIO, TARGET_GIB = 1.7, 1.5  # of two processes for the language model; of each default training
OUTSIDE, UTILISATION = "outside", "utilisation"
RATES, MEMORIES = ("steps per second, 1", "steps per second, 2"), ("GiB, 1", "GiB, 2")


def main(
    rounds: Annotated[int, typer.Option(help="How often to time each.", min=1)] = 3,
    steps: Annotated[
        int | None,
        typer.Option(help="Timed in a row, and taken for the memory; by default as the settings say.", min=2),
    ] = None,
    family: Annotated[list[str] | None, typer.Option(help="Only these; may be given several times.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the plot.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the tables and the plot."""
    from quartet.artifacts.writing import write_table, write_text

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = prepared(Path(name))
        for key in family or FAMILIES:
            for row in measure(folder, key, rounds, steps):
                print(row, flush=True)
                rows.append(row)
    table = pd.DataFrame(rows)
    write_table(out / "scale.csv", table)
    write_text(out / "scale.md", summary(table))
    plot(table, out / "scale.png")
    print((out / "scale.md").read_text())


def prepared(folder: Path) -> Path:
    """A folder with the default data of all families, prepared."""
    write_settings(folder, {})
    for name, *items in (
        ("download", "images", "sequences", "text", "weights"),
        ("preprocess", "images", "sequences", "text"),
    ):
        for item in items:
            if stage(folder, name, item).wait():
                raise SystemExit(f"{name} {item} failed")
    return folder


def write_settings(folder: Path, settings: dict) -> None:
    """Write `params.yaml`; what it does not name has its default."""
    from quartet.artifacts.writing import write_json

    write_json(folder / "params.yaml", settings)  # JSON is YAML


def measure(folder: Path, key: str, rounds: int, steps: int | None) -> Iterator[dict]:
    """Yield one row per figure of a family: what, the round, the figure."""
    from benchmarks.step_times import loop_against_bare, seconds_of_processes

    def row(what: str, number: int, figure: float) -> dict:
        return {"family": key, "what": what, "round": number, "figure": round(figure, 5)}

    write_settings(folder, {})
    times, _ = in_own_process(loop_against_bare, folder, key, None, rounds, steps)
    for number, (loop, bare) in enumerate(zip(times["loop"], times["bare"], strict=True)):
        yield row(OUTSIDE, number, 1 - bare / loop)
        yield row(UTILISATION, number, times["operations"] / loop / times["rate"])
    for number in range(rounds):
        for processes in (1, 2) if number % 2 == 0 else (2, 1):  # the order may matter
            seconds = seconds_of_processes(folder, key, processes, 2, steps)
            yield row(RATES[processes - 1], number, 1 / seconds)
    for processes in (1, 2):
        yield row(MEMORIES[processes - 1], 0, peak_memory(folder, key, processes, steps))


def peak_memory(folder: Path, key: str, processes: int, steps: int | None) -> float:
    """The most memory that a process of a training stage has, in GiB, above that of importing torch."""
    section = FAMILIES[key].training_section
    shorter = {section: {"steps": steps, "validate_every": steps}} if steps else {}
    write_settings(folder, {"runtime": {"processes": processes}, **shorter})
    training, peak = stage(folder, section), 0
    while training.poll() is None:
        peak = max(peak, *map(peak_of, with_children(training.pid)))
        time.sleep(SECONDS)
    if training.wait():
        raise SystemExit(f"{section} failed")
    plain = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout
    return (peak - int(plain)) / 2**20


def with_children(pid: int) -> Sequence[int]:
    """A process and all that it has started, directly or not, and that still run."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def peak_of(pid: int) -> int:
    """The most memory that a process has had, in KiB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def medians(table: pd.DataFrame) -> pd.DataFrame:
    """A row per family: the medians over the rounds, and the ratio of the rates."""
    wide = table.pivot_table(index="family", columns="what", values="figure", aggfunc=statistics.median, sort=False)
    # Of the pairs of each round, which ran one after the other.
    rates = table[table["what"].isin(RATES)].pivot_table(index=["family", "round"], columns="what", values="figure")
    wide["ratio"] = (rates[RATES[1]] / rates[RATES[0]]).groupby("family").median()
    return wide


def summary(table: pd.DataFrame) -> str:
    """The medians in Markdown, with the targets."""
    lines = [
        "| training | outside forward, backward, update | FLOPs utilisation | steps per second by 1 process | by 2 |"
        " memory of 1 process | of each of 2 |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, row in medians(table).iterrows():
        one, two = (f"{row[name]:,.3g}" for name in RATES)
        memories = " | ".join(f"{row[name]:.2f} GiB" for name in MEMORIES)
        shares = f"{row[OUTSIDE]:.1%} | {row[UTILISATION]:.0%}"
        lines.append(f"| {key} | {shares} | {one} | {two} ({row['ratio']:.2f}×) | {memories} |")
    cores = os.cpu_count()
    lines += [
        "",
        f"Medians on {cores} cores. Rates are with one thread per process. Memory is above that of importing torch.",
        f"Targets: {TARGET_RATIO}× for lm with two processes; {TARGET_GIB} GiB for each training.",
    ]
    return "\n".join(lines) + "\n"


def plot(table: pd.DataFrame, path: Path) -> None:
    """Bars of each family: the share outside, the ratio of the rates, the memory; lines show the targets."""
    from matplotlib.figure import Figure

    from quartet.reporting.drawing.figures import LINE_COLOURS, save_figure, tidy

    wide = medians(table)
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    panels = {
        "time outside forward, backward, update, %": (100 * wide[OUTSIDE], None),
        "steps per second, 2 processes / 1 (target: lm)": (wide["ratio"], TARGET_RATIO),
        "peak memory of a process, GiB": (wide[list(MEMORIES)].max(axis=1), TARGET_GIB),
    }
    for place, (title, (values, target)) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        axes.bar(list(wide.index), values, color=LINE_COLOURS[0])
        if target is not None:
            axes.axhline(target, color=LINE_COLOURS[1], linestyle="--", label="target")
            axes.legend(loc="center right")
        axes.set_title(title, fontsize=9)
        tidy(axes)
    save_figure(figure, path)


if __name__ == "__main__":
    typer.run(main)
