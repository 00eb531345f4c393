"""What tracking and start-up cost: `python -m benchmarks.tracking`, in a checkout that `make repro` has built.

In a temporary clone that shares this checkout's DVC cache, and in turns: each training stage with MLflow and without,
as whole processes; the seconds from the start of its process to its first training step; `--help` of two scripts; and
a `dvc repro` that has nothing to do. Writes `tracking.csv` and `tracking.md` into `reports/benchmarks`. About ten
minutes on 2 cores.
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
# Runs a stage and tells when its first batch is asked for, in seconds after the start of the process. It looks in only
# when the run has begun, so that torch is imported when it is without it.
FIRST_STEP = """
import contextlib, psutil, runpy, sys, time
import quartet.tracking.runs as runs
tracked_run = runs.tracked_run
@contextlib.contextmanager
def telling(*arguments):
    with tracked_run(*arguments) as run:
        from quartet.datasets.batches import ShuffledBatches
        told, indices = [], ShuffledBatches.indices
        def first_tells(self, step):
            if not told:
                told.append(time.time() - psutil.Process().create_time())
                print("first step after", told[0], flush=True)
            return indices(self, step)
        ShuffledBatches.indices = first_tells
        yield run
runs.tracked_run = telling
stage = sys.argv.pop(1)
runpy.run_module(stage, run_name="__main__", alter_sys=True)
"""


def main(
    rounds: Annotated[int, typer.Option(help="How often each stage is trained either way.", min=1)] = 4,
    out: Annotated[Path, typer.Option(help="Where the tables go.")] = Path("reports/benchmarks"),
) -> None:
    """Measure, and write the tables."""
    from quartet.artifacts.writing import write_table, write_text

    with tempfile.TemporaryDirectory() as folder:
        clone = checked_out(Path(folder) / "clone")
        table = pd.DataFrame(measure(clone, rounds))
    write_table(out / "tracking.csv", table)
    write_text(out / "tracking.md", summary(table))
    print((out / "tracking.md").read_text())


def checked_out(clone: Path) -> Path:
    """A clone of HEAD with everything that `dvc.lock` names, from this checkout's cache."""
    subprocess.run(["git", "clone", "--quiet", str(TOP), str(clone)], check=True)
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "cache", "dir", "--local", str(TOP / ".dvc/cache")], cwd=clone, check=True)
    if subprocess.run([*dvc, "checkout", "--quiet"], cwd=clone).returncode:
        raise SystemExit("the DVC cache does not hold what HEAD's dvc.lock names: run `make repro` and commit first")
    return clone


def measure(clone: Path, rounds: int) -> Iterator[dict]:
    """A row per measurement: what, how, round, seconds."""

    def row(what: str, how: str, number: int, seconds: float) -> dict:
        print(f"{what}, {how}: {seconds:.2f} s", flush=True)
        return {"what": what, "how": how, "round": number, "seconds": round(seconds, 3)}

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    timed(clone, [sys.executable, "-m", "stages.train_cnn"], {})  # creates the database
    for number in range(rounds):
        timed(clone, ["dvc", "checkout", "--force", "--quiet"], {"PATH": path})  # a training by hand leaves another run
        yield row("dvc repro, nothing to do", "wall", number, timed(clone, ["dvc", "repro"], {"PATH": path})[0])
        for script in ("stages.train_cnn", "quartet"):
            command = [sys.executable, "-m", script, "--help"]
            yield row(f"{script} --help", "wall", number, timed(clone, command, {})[0])
        for family in FAMILIES:
            command = [sys.executable, "-c", FIRST_STEP, f"stages.train_{family}"]
            ways = [("without tracking", "off"), ("with tracking", "on")]
            for how, tracking in ways if number % 2 == 0 else reversed(ways):  # which comes first may matter
                seconds, printed = timed(clone, command, {"QUARTET_TRACKING": tracking})
                yield row(f"train_{family}", how, number, seconds)
                if tracking == "on":
                    first = next(line for line in printed.splitlines() if line.startswith("first step after"))
                    yield row(f"train_{family}", "start-up with tracking", number, float(first.split()[-1]))


def timed(clone: Path, command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Seconds of a command in the clone, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=clone, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def summary(table: pd.DataFrame) -> str:
    """Medians in Markdown, the cost of tracking as a share of the whole stage without it."""
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
