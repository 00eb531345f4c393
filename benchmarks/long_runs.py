"""Long trainings: `python -m benchmarks.long_runs`.

Trains a small network on the embedded digits for 50,000 steps by the stage itself, and measures memory, open files and
threads of its process on the way: they should be flat. With `--kill-minutes`, it also kills a training of about so many
minutes at random moments (SIGKILL) and starts it again until it ends; its bytes must be those of an undisturbed one,
which runs beside it (one thread each).

Writes `long_runs.csv` and `long_runs.png` into `reports/benchmarks`.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import psutil
import typer

from benchmarks.code_graph import TOP
from quartet.artifacts.verification import described_files

SECONDS = 1.0  # between measurements
ENDING = 3  # measurements, at the end, when it saves the model and draws pictures
WARM = 0.2  # share of the measurements that are not judged: caches fill
LONGEST_LIFE = 240.0  # seconds until a kill, at most; a quarter of it at least


def main(
    steps: Annotated[int, typer.Option(help="Steps of the measured training.", min=100)] = 50_000,
    kill_minutes: Annotated[float, typer.Option(help="Also kill a training of about so many minutes; 0: no.")] = 0.0,
    out: Annotated[Path, typer.Option(help="Folder for the table and the plot.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the table and the plot."""
    from quartet.artifacts.writing import write_table

    with tempfile.TemporaryDirectory() as name:
        folder = prepared(Path(name) / "measured", steps)
        table = measured(folder)
        write_table(out / "long_runs.csv", table.round(3))
        plot(table, out / "long_runs.png")
        late = table[int(WARM * len(table)) :]
        print(f"{steps} steps in {table['seconds'].iloc[-1]:.0f} s")
        for column in ("mib", "files", "threads"):
            print(
                f"{column}: {late[column].iloc[0]:g} early, {late[column].iloc[-1]:g} late, {late[column].max():g} most"
            )
        if kill_minutes:
            longer = round(steps * 60 * kill_minutes / table["seconds"].iloc[-1])
            whole, killed = (prepared(Path(name) / kind, longer) for kind in ("whole", "killed"))
            undisturbed, start = started(whole), time.time()
            try:
                kills = killed_until_done(killed)
                undisturbed.wait()
            finally:
                undisturbed.kill()  # if the other one failed
            same = all(
                described_files(whole / part) == described_files(killed / part) for part in ("models", "reports")
            )
            minutes = ((whole / "models/cnn/card.json").stat().st_mtime - start) / 60
            print(f"{longer} steps, {minutes:.0f} min undisturbed, one killed {kills} times beside it")
            print("the same bytes" if same else "OTHER bytes")
            if not same:
                raise typer.Exit(1)


def prepared(folder: Path, steps: int) -> Path:
    """A folder with the embedded digits, prepared, and the settings of a small training."""
    from quartet.artifacts.writing import write_text

    folder.mkdir(parents=True)
    settings = f"train_cnn: {{steps: {steps}, validate_every: {max(1, steps // 100)}, width: 8, batch_size: 16}}"
    write_text(folder / "params.yaml", f"{settings}\nruntime: {{threads: 1}}\n")
    for arguments in (("download", "images"), ("download", "weights"), ("preprocess", "images")):
        stage(folder, *arguments).wait()
    return folder


def stage(folder: Path, name: str, *arguments: str) -> subprocess.Popen:
    """A stage that runs in `folder`, untracked."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    environment = {**kept, "PYTHONPATH": str(TOP), "QUARTET_TRACKING": "off", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", f"stages.{name}", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def started(folder: Path) -> subprocess.Popen:
    """A training that runs in `folder`."""
    return stage(folder, "train_cnn")


def measured(folder: Path) -> pd.DataFrame:
    """Memory, open files and threads of a training, while it runs."""
    rows, training = [], started(folder)
    process, start = psutil.Process(training.pid), time.perf_counter()
    while training.poll() is None:
        try:
            with process.oneshot():
                memory, files, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
        except psutil.NoSuchProcess:
            break
        seconds = time.perf_counter() - start
        rows.append({"seconds": seconds, "mib": memory / 2**20, "files": files, "threads": threads})
        time.sleep(SECONDS)
    if training.wait():
        raise SystemExit("the training failed")
    return pd.DataFrame(rows[:-ENDING])


def killed_until_done(folder: Path) -> int:
    """Kill a training at random moments until it is done; returns how often."""
    moments, kills = random.Random(0), 0
    while True:
        training = started(folder)
        try:
            if training.wait(timeout=moments.uniform(LONGEST_LIFE / 4, LONGEST_LIFE)):
                raise SystemExit("the training failed")
            return kills
        except subprocess.TimeoutExpired:
            training.kill()
            training.wait()
            kills += 1
            if is_done(folder):  # killed while it ended
                return kills


def is_done(folder: Path) -> bool:
    """Whether a training has written all its results, after which it removes its checkpoints."""
    has_checkpoints = any((folder / ".checkpoints/train_cnn").glob("*/*"))
    return (folder / "reports/cnn/run.json").exists() and not has_checkpoints


def plot(table: pd.DataFrame, path: Path) -> None:
    """Each measure over the seconds of the training."""
    from matplotlib.figure import Figure

    from quartet.reporting.drawing.figures import LINE_COLOURS, save_figure, tidy

    figure = Figure(figsize=(9, 2.6), layout="constrained")
    titles = {"mib": "memory, MiB", "files": "open files", "threads": "threads"}
    for place, (column, title) in enumerate(titles.items(), start=1):
        axes = figure.add_subplot(1, len(titles), place)
        axes.plot(table["seconds"], table[column], color=LINE_COLOURS[0])
        axes.set(title=title, xlabel="seconds of training", ylim=(0, 1.15 * table[column].max()))
        tidy(axes)
    save_figure(figure, path)


if __name__ == "__main__":
    typer.run(main)
