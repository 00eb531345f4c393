"""Any path can be a setting: `use` writes it, and the stages and DVC read the same."""

import contextlib
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.code_graph import TOP
from quartet.__main__ import app
from quartet.params.reading import read_yaml
from quartet.settings import read_settings

PATHS = [
    "/x/été",
    "/x/my pets (2024)",
    "a,b",
    "~/x",
    "/x/a=b #c: d",
    "/x/[a]{b}/${seed}",
    "/x/\"double\" and 'single'",
    "C:\\new\\table ",
    "/x/%TAG !a &b *c |",
    "/x/\x85\u2028\u2029\t\x07",
    "/x/\udce9t\udce9",  # a name of Latin-1 bytes, as Python has it
]
COMMENT = "# All settings, with their default values. `python -m quartet settings` explains them.\n"


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    """A copy of the repository's settings, with a comment beside the setting."""
    path = tmp_path_factory.mktemp("settings") / "params.yaml"
    text = (TOP / "params.yaml").read_text()
    path.write_text(text.replace("  images: digits\n", "  images: digits  # mine\n", 1))
    return path


def use(params, path):
    """`python -m quartet use`, in this process."""
    done = CliRunner().invoke(app, ["use", "--params", str(params), "--with", f"download.images=folder:{path}"])
    assert done.exit_code == 0, done.output


@example("".join(PATHS))
@given(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=300))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_path_is_written_so_that_it_is_read_back(params, path):
    before = read_yaml(params)
    use(params, path)
    assert read_settings(params).section("download").images == f"folder:{path}"
    assert load_yaml(str(params))["download"]["images"] == f"folder:{path}"  # as DVC does
    before["download"]["images"] = f"folder:{path}"
    assert read_yaml(params) == before
    assert params.read_text().startswith(COMMENT) and params.read_text().count("# mine\n") == 1


@pytest.mark.parametrize("path", PATHS)
def test_dvc_hands_such_a_path_on_and_replaces_nothing_in_it(params, tmp_path, path):
    use(params, path)
    shutil.copy(params, tmp_path)
    Path(tmp_path / "dvc.yaml").write_text(
        "stages:\n  download:\n    foreach: {images: {code: x}}\n    do:\n      cmd: touch ${key} ${item.code}\n"
        "      params: ['download.${key}']\n      outs: ['${key}']\n"
    )
    with contextlib.chdir(tmp_path), Repo.init(no_scm=True) as repository:
        repository.reproduce()
        locked = load_yaml("dvc.lock")["stages"]["download@images"]["params"]["params.yaml"]
        assert locked == {"download.images": f"folder:{path}"}
        assert not repository.status()


@pytest.mark.parametrize("path", PATHS[:4])
def test_an_experiment_takes_such_a_path_in_the_inner_quotes_of_the_readme(params, path):
    apply_overrides(params, [f'download.images="folder:{path}"'])
    assert read_settings(params).section("download").images == f"folder:{path}"
