"""Data that the tests of training share."""

import pytest
from family_plans import prepare

from quartet.training.checkpoints import Checkpoint


@pytest.fixture(scope="session")
def family_data(tmp_path_factory):
    """A folder of `family_plans.prepare`."""
    folder = tmp_path_factory.mktemp("data")
    prepare(folder)
    return folder


@pytest.fixture
def always(monkeypatch):
    """Save after every step."""
    monkeypatch.setattr(Checkpoint, "is_due", lambda checkpoint, *, good_moment=False: True)
