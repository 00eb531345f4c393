"""Text larger than memory: `python -m benchmarks.large_text`; needs Linux, and root to set a memory limit (cgroup).

Preprocesses 1 GB of text, and trains the default language model for some steps on 4 GB of tokens, each in a process
that may use no more than 1.5 GiB, including file cache. Prints seconds and peak memory. Needs 9 GB in the temporary
folder. Byte-pair encoding processes 0.5 to 0.9 MB per second and core, so this takes up to half an hour on 2 cores.
"""

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

LIMIT = 3 * 2**29  # bytes
CHUNK = 2**26  # tokens written at once
GROUP = Path("/sys/fs/cgroup/memory/quartet-large-text")  # control groups version 1
GROUP_2 = Path("/sys/fs/cgroup/quartet-large-text")  # control groups version 2


def main(
    text_bytes: Annotated[int, typer.Option(help="Size of the text to preprocess.", min=10**5)] = 10**9,
    stream_bytes: Annotated[int, typer.Option(help="Size of the token stream to train on.", min=10**6)] = 4 * 10**9,
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 60,
) -> None:
    """Run the benchmark; fails if a process needs more memory."""
    with tempfile.TemporaryDirectory() as folder, limited_group() as group:
        raw, text = Path(folder, "raw"), Path(folder, "text")
        write_raw(raw, text_bytes)
        report(f"preprocess {text_bytes:,} bytes of text", group, "preprocess", raw, text)
        lengthen(text, stream_bytes)
        report(f"{steps} steps on {stream_bytes:,} bytes of tokens", group, "train", text, steps)


def report(what: str, group: Path, *arguments: object) -> None:
    """Run `limited` in a separate process in the group; print how long it took."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.large_text", "--limited", str(group), *map(str, arguments)]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise SystemExit(f"{what}: failed with {done.returncode} under {LIMIT / 2**30:.1f} GiB")
    print(f"{what}: {time.perf_counter() - start:.0f} s under {LIMIT / 2**30:.1f} GiB", flush=True)


def limited(group: str, what: str, *arguments: str) -> None:
    """Enter the group, then preprocess or train; prints the peak resident memory.

    This includes memory-mapped files, such as torch's libraries. If they were in memory before, the group's limit does
    not count them, so the peak may be above the limit.
    """
    import resource

    Path(group, "cgroup.procs").write_text("0")  # this process
    if what == "preprocess":
        from quartet.language.preparation import prepare_text
        from quartet.language.settings import PreprocessText

        prepare_text(Path(arguments[0]), Path(arguments[1]), PreprocessText())
    else:
        train(Path(arguments[0]), int(arguments[1]))
    print(f"peak resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB", flush=True)


def write_raw(raw: Path, size: int) -> None:
    """Write `size` bytes of text: the default text, repeated, each time after a number."""
    from quartet.artifacts.fetching import Fetching
    from quartet.artifacts.writing import write_json
    from quartet.language.sources import download_text

    manifest = download_text("docstrings", Fetching(), raw)
    prose, written, number = (raw / "text.txt").read_bytes(), 0, 0
    with (raw / "text.txt").open("wb") as file:
        while written < size:
            written += file.write(f"{number}\n".encode() + prose[: size - written])
            number += 1
    write_json(raw / "manifest.json", {**manifest, "split": "tail"})


def lengthen(text: Path, size: int) -> None:
    """Extend the training split's token stream to `size` bytes with random tokens."""
    from quartet.artifacts.writing import read_json

    info, generator = read_json(text / "info.json"), np.random.default_rng(0)
    kind = np.dtype(info["dtype"])
    with (text / "train.bin").open("ab") as file:
        while (missing := size // kind.itemsize - file.tell() // kind.itemsize) > 0:
            file.write(generator.integers(info["vocabulary_size"], size=min(missing, CHUNK), dtype=kind).tobytes())


def train(text: Path, steps: int) -> None:
    """Train with the stage's plan and loop for some steps, without validation."""
    import torch

    from quartet.artifacts.writing import read_json
    from quartet.language.settings import TrainLm
    from quartet.language.training import LanguageTraining
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.loop import train as train_network

    settings, device = TrainLm(), torch.device("cpu")
    task = LanguageTraining(settings, text, read_json(text / "info.json"), device, seed=0).task()
    task = dataclasses.replace(task, steps=steps, validate_every=steps, validate=lambda network: {"score": 0.0})
    train_network(task, settings, seed=0, device=device, checkpoint=NoCheckpoint())


@contextmanager
def limited_group() -> Iterator[Path]:
    """A control group for the duration of the block, whose processes may use at most `LIMIT` bytes of memory."""
    first = GROUP.parent.is_dir()
    group = GROUP if first else GROUP_2
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(LIMIT))
    except OSError as error:
        raise SystemExit(f"{group}: cannot create a control group ({error.strerror}); run as root on Linux") from error
    try:
        yield group
    finally:
        group.rmdir()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--limited"]:
        limited(*sys.argv[2:])
    else:
        typer.run(main)
