"""What every stage does while it runs: hold its output, and end cleanly when it is told to."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from quartet.artifacts.output_locks import sole_writer
from quartet.artifacts.stop_requests import ends_when_told


@contextlib.contextmanager
def writing_stage(output: Path) -> Iterator[None]:
    """Hold the lock of an output, and end cleanly on SIGINT, SIGHUP and SIGTERM or when `dvc` dies.

    Raises:
        ValueError: another process writes this output.
    """
    with ends_when_told(), sole_writer(output):
        yield
