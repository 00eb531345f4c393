"""Fixtures shared by all tests."""

import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A repository of its own for tracking and checkpoints."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path
