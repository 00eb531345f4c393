"""Stages and commands run in the tests' own process, which has imported torch already, as if started in a folder."""

import contextlib
import importlib
from unittest import mock

import typer
from typer.testing import CliRunner

from quartet.__main__ import app as quartet


def run(folder, script, *words, code=0):
    """What `python -m SCRIPT WORDS…` prints in a folder, untracked; its exit code must be `code`."""
    if script == "quartet":
        app = quartet
    else:
        app = typer.Typer(add_completion=False)
        app.command()(importlib.import_module(script).main)
    environment = mock.patch.dict("os.environ", {"QUARTET_TRACKING": "off", "DVC_ROOT": str(folder)})
    with contextlib.chdir(folder), environment:
        done = CliRunner().invoke(app, list(map(str, words)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output[-2000:]
    return done.output
