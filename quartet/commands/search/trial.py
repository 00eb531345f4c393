"""One trial of a search: a DVC experiment in a copy of the workspace, which can be stopped cleanly."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import psutil
import typer
from ruamel.yaml import YAML

from quartet.artifacts import paths
from quartet.commands.search.command import VARIABLE
from quartet.commands.search.workspace import WorkspaceState, attach_head
from quartet.params.editing import flattened
from quartet.tracking.dvc_state import read_json_at, settings_at


def run_experiment(
    experiment: str,
    family: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
    workspace: WorkspaceState,
) -> dict[str, float] | None:
    """Run a DVC experiment in a copy of the workspace; returns its scores, or None if it failed."""
    changes = [word for setting, value in settings.items() for word in ("-S", f"{setting}={value}")]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", experiment, *changes, f"train-{family}"]
    # A trial needs no access to the search's database, whose address may hold a password.
    kept = {name: value for name, value in environment.items() if name != VARIABLE}
    status, output = _run(command, kept, workspace)
    if status:
        typer.echo(output[-4000:], err=True)
        return None
    return _scores(experiment, family)


def finished_scores(experiment: str, family: str, settings: Mapping[str, object]) -> dict[str, float] | None:
    """The scores of an experiment that has ended, if there is one here of this name and with these settings."""
    try:
        there = flattened(settings_at(experiment))
    except ValueError:  # there is none
        return None
    # DVC has written what the command line says.
    meant = {name: YAML(typ="safe").load(str(value)) for name, value in settings.items()}
    if not settings or any(there.get(name) != value for name, value in meant.items()):
        return None
    return _scores(experiment, family) or None


def _scores(experiment: str, family: str) -> dict[str, float]:
    scores = read_json_at(paths.report(family) / "training.json", experiment)
    return {key: value for key, value in scores.items() if key.startswith(("validation_", "training_"))}


def _run(command: list[str], environment: Mapping[str, str], workspace: WorkspaceState) -> tuple[int, str]:
    """Run a command; returns its exit status and output. If this process is stopped, the command may first clean up.

    While DVC copies the workspace, it changes it for a moment, and it restores it only if it is not killed.
    """

    def terminated(*_: object) -> None:
        for started in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                started.send_signal(signal.SIGINT)  # to all of them, like Ctrl-C in a terminal
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
