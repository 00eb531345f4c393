"""A search over several machines: two checkouts share a study in a real PostgreSQL, with trainings of a moment.

DVC, Optuna, the database and the ends of processes are real; the pipeline is one of two small scripts.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid

import optuna
import pandas as pd
import pytest
from local_servers import Postgres
from temporary_clone import Clone
from typer.testing import CliRunner

from quartet.__main__ import app

pytestmark = pytest.mark.pipeline
PASSWORD = f"s3cret-{uuid.uuid4().hex}"  # in no file but where it must not be
PIPELINE = """
stages:
  download:
    foreach: [images]
    do:
      cmd: python draw.py
      params: [download.images, download.mirror]
      deps: [draw.py]
      outs: [data/raw/images]
  train-cnn:
    cmd: python train.py
    params: [seed, train_cnn]
    deps: [train.py, data/raw/images]
    metrics: [reports/cnn/training.json]
"""
DRAW = """
import os
from pathlib import Path
Path("data/raw/images").mkdir(parents=True)
Path("data/raw/images/pictures").write_text(os.environ.get("PICTURES", "digits"))
"""
TRAIN = """
import json, os, time
from pathlib import Path
from ruamel.yaml import YAML
dropout = YAML(typ="safe").load(Path("params.yaml").read_text())["train_cnn"]["dropout"]
root = Path(os.environ["DVC_ROOT"])
assert "QUARTET_SEARCH_STORAGE" not in os.environ
with (root / "trained.txt").open("a") as trained:
    trained.write(f"{dropout}\\n")
while (root / "wait").exists():
    time.sleep(0.1)
Path("reports/cnn").mkdir(parents=True, exist_ok=True)
Path("reports/cnn/training.json").write_text(json.dumps({"validation_score": 1 - dropout}))
"""
RANGE = "train_cnn.dropout=0..0.5"


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A checkout with the two small stages."""
    clone = Clone(tmp_path_factory.mktemp("built"))
    for name, text in (("dvc.yaml", PIPELINE), ("draw.py", DRAW), ("train.py", TRAIN)):
        (clone.folder / name).write_text(text)
    with (clone.folder / ".gitignore").open("a") as ignored:
        ignored.write("/wait\n/trained.txt\n/reports/searches\n")
    clone.commit()
    return clone.folder


@pytest.fixture
def address(postgres, request):
    """The address of an empty database."""
    return postgres.database(f"searches{abs(hash(request.node.name))}", f"quartet:{PASSWORD}")


@pytest.fixture
def machines(built, address, tmp_path):
    """Two checkouts, as of two machines."""
    return [Machine(built, tmp_path / name, address) for name in ("one", "two")]


class Machine(Clone):
    """A checkout that shares searches."""

    def __init__(self, built, folder, address):
        shutil.copytree(built, folder, symlinks=True)
        self.folder = folder
        self.variables = {"QUARTET_TRACKING": "off", "QUARTET_SEARCH_STORAGE": address}
        self.name_user()

    def search(self, trials=1, program=("-m", "quartet"), grace=("--grace", "3")):
        options = ["--name", "rates", "--trials", str(trials), *grace]
        return [sys.executable, *program, "search", "cnn", RANGE, *options]

    def started(self, **options):
        """A search that runs, in a group of its own, which ends with the block."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        where = {"cwd": self.folder, "env": self.environment(), "start_new_session": True}
        return Running(self.search(**options), **where, **pipes)

    def hold(self):
        """Trainings wait until they are let go."""
        (self.folder / "wait").touch()

    def let_go(self):
        (self.folder / "wait").unlink()

    @property
    def trained(self):
        """The settings of the trainings that have begun here."""
        file = self.folder / "trained.txt"
        return [float(line) for line in file.read_text().splitlines()] if file.exists() else []


class Running(subprocess.Popen):
    def __exit__(self, *exception):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        super().__exit__(*exception)

    def end(self):
        """Wait for it; returns what it said."""
        said, warned = self.communicate(timeout=500)
        assert self.returncode == 0, said + warned
        return said + warned


def wait_until(is_so, seconds=300):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def trials_of(address):
    """All trials in the database."""
    at = address.replace("postgresql://", "postgresql+psycopg://")
    return optuna.load_study(storage=at, study_name="rates").trials


def states(trials):
    return [trial.state.name for trial in trials]


def test_two_machines_share_the_trials_and_one_takes_up_what_a_killed_one_leaves(machines, address):
    one, two = machines
    one.hold()
    with one.started(trials=3) as killed, two.started(trials=3) as other:
        wait_until(lambda: one.trained)
        wait_until(lambda: two.trained)
        os.killpg(killed.pid, signal.SIGKILL)
        said = other.end()
    assert "has given no sign of life for 3 s: its settings are tried again" in said and str(one.folder) in said
    trials = trials_of(address)
    assert sorted(states(trials)) == ["COMPLETE"] * 3 + ["FAIL"]
    (lost,) = [trial for trial in trials if trial.state.name == "FAIL"]
    assert lost.params["train_cnn.dropout"] == one.trained[0] and two.trained.count(one.trained[0]) == 1
    assert len({trial.params["train_cnn.dropout"] for trial in trials}) == 3 == len(two.trained)

    one.let_go()
    done = one.run(*one.search(trials=4))  # one more, here
    table = pd.read_csv(one.folder / "reports/searches/rates/trials.csv")
    assert len(one.trained) == 2 and len(table) == 4 and table.checkout.str.endswith(str(one.folder)).sum() == 1
    best = table.experiment[0]
    bring = f"`dvc exp push origin {best}` there and `dvc exp pull origin {best}` here bring it"
    elsewhere = table.checkout[0].endswith(str(two.folder))
    assert (bring if elsewhere else f"`dvc exp apply {best}`") in done.stdout
    own = table.experiment[table.checkout.str.endswith(str(one.folder))].tolist()
    assert own == one.run("dvc", "exp", "list", "--name-only").stdout.split()
    for text in (said, done.stdout, done.stderr):
        assert PASSWORD not in text
    for machine in machines:
        kept = (path for path in machine.folder.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000)
        assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]


def test_a_machine_that_stood_still_does_not_overwrite_what_another_did(machines, address):
    one, two = machines
    one.hold()
    two.hold()
    with one.started() as still, two.started() as other:
        wait_until(lambda: one.trained or two.trained)  # the one trial has begun, wherever
        if two.trained:
            one, two, still, other = two, one, other, still
        still.send_signal(signal.SIGSTOP)
        two.let_go()
        other.end()
        still.send_signal(signal.SIGCONT)
        one.let_go()
        said = still.end()
    assert "rates-0: this machine was out of reach, and another one has taken up the trial" in said
    assert states(trials_of(address)) == ["FAIL", "COMPLETE"] and one.trained == two.trained
    assert trials_of(address)[1].user_attrs["checkout"].endswith(str(two.folder))


def test_trials_that_cannot_be_compared_are_refused(machines, address):
    one, two = machines
    one.run(*one.search())

    def refused(command=None, **environment):
        done = two.run(*(command or two.search(trials=2)), check=False, **environment)
        assert done.returncode == 2 and "choose another --name" in done.stderr, done.stderr
        (line,) = done.stderr.splitlines()
        return line

    narrower = [word.replace("..0.5", "..0.4") for word in two.search()]
    assert "train_cnn.dropout is 0.0..0.5 there and 0.0..0.4 here" in refused(narrower)
    two.set({"train_cnn": {"steps": 7}})
    (two.folder / "train.py").write_text(TRAIN + "\n")
    assert "train.py differs; train_cnn.steps is 6 there and 7 here" in refused()
    assert not two.trained
    two.git("checkout", "-q", ".")
    two.set({"download": {"mirror": "file:///elsewhere"}})  # that makes no difference, other data do
    assert "data/raw/images differs" in refused(PICTURES="other digits")
    assert states(trials_of(address)) == ["COMPLETE", "FAIL"]
    assert len(two.trained) == 1
    other = one.run(*one.search(grace=()), check=False, QUARTET_SEARCH_STORAGE="")  # in the file of this checkout
    assert other.returncode == 2 and "rates-0 is an experiment of another search here" in other.stderr


def test_an_outage_costs_no_result(machines, address, postgres):
    """A short one is waited for; after a long one, the same command counts what had ended."""
    one, _ = machines
    one.hold()
    with one.started() as search:
        wait_until(lambda: one.trained)
        postgres.stop()
        one.let_go()
        assert "trying again for 10 minutes" in search.stderr.readline()
        postgres.start()
        search.end()
    assert states(trials_of(address)) == ["COMPLETE"]

    one.hold()
    impatient = (
        "from quartet.commands.search import storage; storage.PATIENCE = 0.5; from quartet.__main__ import app; app()"
    )
    with one.started(trials=2, program=["-c", impatient]) as search:
        wait_until(lambda: len(one.trained) == 2)
        postgres.stop()
        one.let_go()
        _, warned = search.communicate(timeout=500)
    said = warned.splitlines()[-1]
    assert search.returncode == 1 and "cannot be used" in said and PASSWORD not in warned
    assert said.endswith("; rates-1 has ended: its result counts when you run the same command again")
    postgres.start()
    done = one.run(*one.search(trials=2))
    assert "rates-1 had ended: validation_score" in done.stdout
    assert states(trials_of(address)) == ["COMPLETE"] * 2


def test_what_is_no_database_is_said_in_a_line(machines, postgres, monkeypatch):
    monkeypatch.chdir(machines[0].folder)
    monkeypatch.setenv("QUARTET_SEARCH_STORAGE", "")
    for wrong, status, message in (
        (f"mysql://quartet:{PASSWORD}@127.0.0.1/x", 2, "found mysql://…, expected postgresql://"),
        (PASSWORD, 2, "found another text"),
        (f"postgresql://quartet:{PASSWORD}@127.0.0.1:port/x", 2, "no address of PostgreSQL"),
        (f"postgresql://quartet:{PASSWORD}@127.0.0.1:9/x", 1, "127.0.0.1:9/x does not answer"),
        (f"postgresql://quartet:{PASSWORD}@127.0.0.1:{postgres.port}/none", 1, 'database "none" does not exist'),
    ):
        done = CliRunner().invoke(app, ["search", "cnn", RANGE, "--storage", wrong])
        assert done.exit_code == status and message in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1 and PASSWORD not in done.stderr
