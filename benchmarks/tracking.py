"""The cost of tracking and start-up: `python -m benchmarks.tracking`, in a checkout after `make repro`.

In a temporary clone with this checkout's DVC cache, it measures the time of each training stage as a whole process,
with and without MLflow in turn; the time from the start of a stage to its first training step; `--help` of two scripts;
and a `dvc repro` that has nothing to do. Writes `tracking.csv` and `tracking.md` into `reports/benchmarks`. Takes about
ten minutes on 2 cores.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

TOP = Path(__file__).parents[1]
FAMILIES = ("cnn", "rnn", "lm", "diffusion")
# Runs a stage, and prints the seconds from the start of the process to its first batch. It patches the batches only
# once the run has started, so that torch is imported at the same time as without this script.
FIRST_STEP = """
import contextlib, psutil, runpy, sys, time
import quartet.tracking.runs as runs
tracked_run = runs.tracked_run
@contextlib.contextmanager
def patched_run(*arguments):
    with tracked_run(*arguments) as run:
        from quartet.datasets.batches import ShuffledBatches
        seconds, indices = [], ShuffledBatches.indices
        def timed_indices(self, step):
            if not seconds:
                seconds.append(time.time() - psutil.Process().create_time())
                print("first step after", seconds[0], flush=True)
            return indices(self, step)
        ShuffledBatches.indices = timed_indices
        yield run
runs.tracked_run = patched_run
stage = sys.argv.pop(1)
runpy.run_module(stage, run_name="__main__", alter_sys=True)
"""


def main(
    rounds: Annotated[int, typer.Option(help="How often to run each stage with and without tracking.", min=1)] = 4,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the tables."""
    from quartet.artifacts.writing import write_table, write_text

    with tempfile.TemporaryDirectory() as folder:
        clone = checked_out(Path(folder) / "clone")
        table = pd.DataFrame(measure(clone, rounds))
    write_table(out / "tracking.csv", table)
    write_text(out / "tracking.md", summary(table))
    print((out / "tracking.md").read_text())


def checked_out(clone: Path) -> Path:
    """Clone HEAD, and check out everything in `dvc.lock` from this checkout's DVC cache."""
    subprocess.run(["git", "clone", "--quiet", str(TOP), str(clone)], check=True)
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "cache", "dir", "--local", str(TOP / ".dvc/cache")], cwd=clone, check=True)
    if subprocess.run([*dvc, "checkout", "--quiet"], cwd=clone).returncode:
        raise SystemExit("the DVC cache lacks files of HEAD's dvc.lock: first run `make repro` and commit")
    return clone


def measure(clone: Path, rounds: int) -> Iterator[dict]:
    """Yield one row per measurement: what, how, round, seconds."""

    def row(what: str, how: str, number: int, seconds: float) -> dict:
        print(f"{what}, {how}: {seconds:.2f} s", flush=True)
        return {"what": what, "how": how, "round": number, "seconds": round(seconds, 3)}

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    timed(clone, [sys.executable, "-m", "stages.train_cnn"], {})  # creates the database
    for number in range(rounds):
        timed(clone, ["dvc", "checkout", "--force", "--quiet"], {"PATH": path})  # trainings by hand change run.json
        yield row("dvc repro, nothing to do", "wall", number, timed(clone, ["dvc", "repro"], {"PATH": path})[0])
        for script in ("stages.train_cnn", "quartet"):
            command = [sys.executable, "-m", script, "--help"]
            yield row(f"{script} --help", "wall", number, timed(clone, command, {})[0])
        for family in FAMILIES:
            command = [sys.executable, "-c", FIRST_STEP, f"stages.train_{family}"]
            ways = [("without tracking", "off"), ("with tracking", "on")]
            for how, tracking in ways if number % 2 == 0 else reversed(ways):  # the order may matter
                seconds, printed = timed(clone, command, {"QUARTET_TRACKING": tracking})
                yield row(f"train_{family}", how, number, seconds)
                if tracking == "on":
                    first = next(line for line in printed.splitlines() if line.startswith("first step after"))
                    yield row(f"train_{family}", "start-up with tracking", number, float(first.split()[-1]))


def timed(clone: Path, command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Run a command in the clone; returns its seconds and its output."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=clone, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def summary(table: pd.DataFrame) -> str:
    """Tables of medians in Markdown; the cost of tracking is a share of the stage without it."""
    medians = table.groupby(["what", "how"], sort=False).seconds.agg(statistics.median)
    lines = [
        "| stage | without tracking | with tracking | tracking costs | start-up to first step |",
        "|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        of = medians[f"train_{family}"]
        without, tracked = of["without tracking"], of["with tracking"]
        cost = f"{tracked - without:+.2f} s ({(tracked - without) / without:+.1%})"
        start = of["start-up with tracking"]
        lines.append(f"| train_{family} | {without:.2f} s | {tracked:.2f} s | {cost} | {start:.2f} s |")
    lines += ["", "| command | seconds |", "|---|---|"]
    lines += [f"| {what} | {seconds:.2f} |" for (what, how), seconds in medians.items() if how == "wall"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
