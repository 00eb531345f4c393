"""One trial of a search: a DVC experiment in a copy of the workspace, run to its end or stopped cleanly."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import psutil
import typer

from quartet.artifacts import paths
from quartet.commands.search.workspace import WorkspaceState, attach_head
from quartet.tracking.dvc_state import read_json_at


def run_experiment(
    experiment: str,
    family: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
    workspace: WorkspaceState,
) -> dict[str, float] | None:
    """The scores of a DVC experiment in a copy of the workspace; None if it failed."""
    changes = [word for setting, value in settings.items() for word in ("-S", f"{setting}={value}")]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", experiment, *changes, f"train-{family}"]
    status, said = _run_to_its_end(command, environment, workspace)
    if status:
        typer.echo(said[-4000:], err=True)
        return None
    scores = read_json_at(paths.report(family) / "training.json", experiment)
    return {key: value for key, value in scores.items() if key.startswith(("validation_", "training_"))}


def _run_to_its_end(command: list[str], environment: Mapping[str, str], workspace: WorkspaceState) -> tuple[int, str]:
    """The exit status and the output of a command that, when this process is told to stop, may clean up before it.

    DVC changes the workspace for a moment while it copies it, and restores it if it is not killed.
    """

    def terminated(*_: object) -> None:
        for started in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                started.send_signal(signal.SIGINT)  # as a terminal's Ctrl-C, which reaches all of them
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT)
            try:
                process.wait()
            except KeyboardInterrupt:
                process.wait()
                attach_head(workspace)
                raise
            output.seek(0)
            return process.returncode, output.read()
    finally:
        signal.signal(signal.SIGTERM, before)
