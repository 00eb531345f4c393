"""A language model for tests of what it writes."""

import pytest
from family_plans import language_plan, prepare, save_trained

from quartet.artifacts.writing import read_json
from quartet.language.serving import TextGenerator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A language model in a workspace, trained for a moment."""
    folder = tmp_path_factory.mktemp("written")
    prepare(folder)
    save_trained(language_plan, folder, read_json(folder / "text/info.json"), folder / "models/lm", "lm")
    (folder / "data/processed").mkdir(parents=True)
    (folder / "data/processed/text").symlink_to(folder / "text")
    return folder


@pytest.fixture(scope="module")
def generator(folder):
    """What continues texts with that model."""
    return TextGenerator(folder / "models/lm", {"tokenizer": folder / "text/tokenizer.json"})
