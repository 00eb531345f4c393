"""Fixtures shared by all tests."""

import os
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))

import cases  # noqa: E402

# Beside another worker, each has one core, and so have the processes that it starts: torch's threads wait by spinning,
# and those of two processes on the same cores slow each other manifold.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, which is later


LONGEST = ("test_pipeline", "test_compiling", "test_experiments", "test_team", "test_fifth_family")


def pytest_collection_modifyitems(items):
    """The longest files first, so that no worker ends long after the other; the first of them builds what others copy.

    pytest-xdist keeps this order with `--no-loadscope-reorder`.
    """
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A repository of its own for tracking and checkpoints."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def pytest_sessionfinish(session):
    """A worker sends how many generated cases it ran."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cases"] = cases.counted


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Add the cases of a worker that is done."""
    cases.counted += getattr(node, "workeroutput", {}).get("cases", 0)


def pytest_terminal_summary(terminalreporter, config):
    """How many generated cases there were; `tests/cases.py` counts them."""
    if cases.counted and not hasattr(config, "workeroutput"):
        terminalreporter.write_line(f"{cases.counted:,} generated cases; a traceback in one fails its test")
