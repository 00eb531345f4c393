"""The working tree as a repository of its own, with settings that make the whole pipeline a matter of a minute."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import mlflow
import pytest
from filelock import FileLock
from local_servers import Server
from real_text import REFERENCE
from ruamel.yaml import YAML

from benchmarks.code_graph import TOP

SHRUNKEN = {
    "download": {"text": "file:own.txt"},
    "preprocess": {"text": {"vocabulary_size": 300}},
    "train_cnn": {"steps": 6, "validate_every": 3, "width": 4},
    "train_rnn": {"steps": 6, "validate_every": 3, "hidden_size": 8},
    "train_lm": {"steps": 4, "validate_every": 2, "width": 16, "layers": 1, "heads": 2, "context": 16},
    "train_diffusion": {"steps": 4, "validate_every": 2, "width": 8, "text_width": 16, "text_heads": 2},
    "evaluate": {"diffusion": {"images": 20, "swept_images": 20, "steps": 2, "classifiers": 2, "classifier_steps": 20}},
}


class Clone:
    """A copy of the working tree as a repository of its own."""

    def __init__(self, folder, **variables):
        self.folder, self.variables = folder, variables
        listed = self.git("-C", str(TOP), "ls-files", "-co", "--exclude-standard").stdout.splitlines()
        for name in listed:
            if (TOP / name).is_file() and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TOP / name, folder / name)
        (folder / "own.txt").write_text(REFERENCE[:400_000])
        self.set(SHRUNKEN)
        self.git("init", "-q")
        self.name_user()
        self.commit()

    @classmethod
    def at(cls, folder, variables):
        """A clone that is there already."""
        clone = cls.__new__(cls)
        clone.folder, clone.variables = folder, variables
        clone.name_user()
        return clone

    def name_user(self):
        self.git("config", "user.email", "test@localhost")
        self.git("config", "user.name", "test")

    def set(self, changes):
        yaml = YAML()
        path = self.folder / "params.yaml"
        params = yaml.load(path.read_text())
        merge(params, changes)
        with path.open("w") as stream:
            yaml.dump(params, stream)

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True)

    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "QUARTET_"))}
        return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", **self.variables}

    def run(self, *command, check=True, **environment):
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env={**self.environment(), **environment}
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def checksums(self):
        """Checksums of every output in the lock file, but those of `run.json`."""
        stages = YAML(typ="safe").load((self.folder / "dvc.lock").read_text())["stages"]
        outs = [out for stage in stages.values() for out in stage["outs"]]
        return {out["path"]: out["md5"] for out in outs if not out["path"].endswith("run.json")}

    def json(self, name):
        return json.loads((self.folder / name).read_text())

    def quartet(self, *command, check=True):
        return self.run(sys.executable, "-m", "quartet", *command, check=check)

    @property
    def database(self):
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def mlflow(self):
        return mlflow.MlflowClient(self.database)

    def runs(self):
        experiment = self.mlflow().get_experiment_by_name("quartet")
        return self.mlflow().search_runs([experiment.experiment_id], max_results=1000)

    def logged_model(self, family):
        """The address of the model that the workspace's training logged."""
        run_id = self.json(f"reports/{family}/run.json")["run_id"]
        experiment = self.mlflow().get_experiment_by_name("quartet").experiment_id
        return self.mlflow().search_logged_models([experiment], f"source_run_id = '{run_id}'")[0].model_uri

    @contextlib.contextmanager
    def served(self, model):
        """MLflow's server for a model, on 127.0.0.1; a function that asks it."""
        environment = {
            **self.environment(),
            "MLFLOW_TRACKING_URI": self.database,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        }
        command = ["mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
        with Server(command, self.folder, environment, "/ping") as server:

            def ask(question):
                request = urllib.request.Request(
                    f"{server.address}/invocations", json.dumps(question).encode(), {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)["predictions"]

            yield ask


def copy_of_the_built(tmp_path_factory, name, with_runs=True):
    """A clone in which the whole pipeline is built and committed; all workers copy the one that the first builds."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    built, done = shared / "built", shared / "built-is-complete"
    with FileLock(shared / "built.lock"):
        if not done.exists():
            shutil.rmtree(built, ignore_errors=True)
            built.mkdir()
            clone = Clone(built)
            clone.run("dvc", "repro")
            clone.commit()
            done.touch()
    folder = tmp_path_factory.mktemp(name) / "quartet"
    left_out = () if with_runs else ("mlflow.db*", "mlartifacts")
    shutil.copytree(built, folder, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
    if with_runs:
        _move_addresses(folder / "mlflow.db", str(built), str(folder))
    return Clone.at(folder, {})


def _move_addresses(database, old, new):
    """MLflow's database has absolute addresses of artifacts."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if kind.startswith(("VARCHAR", "TEXT")):
                    moved = f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE instr({column}, ?)"
                    connection.execute(moved, (old, new, old))


def merge(into, changes):
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value
