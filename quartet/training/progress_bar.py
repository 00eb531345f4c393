"""A progress bar with rate and time left or, if the output is not a terminal, one line per validation."""

import contextlib
import sys
from collections.abc import Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} steps/s" if task.speed else "– steps/s")


class Bar:
    """A running progress bar."""

    def __init__(self, shown: Progress, steps: int, first: int, quiet: bool):
        self._shown, self._steps, self._quiet = shown, steps, quiet
        self._task = shown.add_task("training", total=steps, completed=first)

    def advance(self) -> None:
        """Count one step."""
        self._shown.advance(self._task)

    def move_to(self, step: int) -> None:
        """Go back to a step."""
        self._shown.update(self._task, completed=step)

    def warn(self, text: str | None) -> None:
        """Print a warning, if there is one."""
        if text and not self._quiet:
            print(f"warning: {text}", flush=True)

    def describe(self, row: dict[str, float]) -> None:
        """Show the latest validation."""
        if self._quiet:
            return
        loss, score = row["training_loss"], row["validation_score"]
        text = f"loss {loss:.4f}, validation score {score:.4f}"
        if sys.stdout.isatty():
            self._shown.update(self._task, description=text)
        else:
            print(f"step {row['step']}/{self._steps}: {text}", flush=True)


@contextlib.contextmanager
def progress_bar(steps: int, first: int, quiet: bool = False) -> Iterator[Bar]:
    """A progress bar over `steps`, of which `first` are already done; `quiet` shows nothing."""
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet or not sys.stdout.isatty(), refresh_per_second=4) as shown:
        yield Bar(shown, steps, first, quiet)
