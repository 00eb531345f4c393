"""Metrics of earlier commits, with which the report compares the current ones."""

import json
import subprocess
from pathlib import Path

MAX_COMMITS = 200  # the most commits of the file to search


def previous_metrics(path: Path, current: dict[str, float]) -> tuple[str, dict[str, float]] | None:
    """The newest committed version of a metrics file that differs from the current one: its short commit and metrics.

    Committing the current metrics does not change the result. None without git, in a shallow clone, or if the metrics
    never changed.
    """
    history = _git("log", f"--max-count={MAX_COMMITS}", "--format=%h", "--", path.as_posix())
    for commit in (history or "").split():
        try:
            metrics = json.loads(_git("show", f"{commit}:./{path.as_posix()}") or "null")
        except (ValueError, RecursionError):
            continue
        if isinstance(metrics, dict) and metrics != current and all(map(_is_a_score, metrics.values())):
            return commit, metrics
    return None


def _is_a_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
