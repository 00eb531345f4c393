"""A stage reads no setting that `dvc.yaml` does not declare for it: recorded while every stage runs."""

import dataclasses
import importlib
import shutil

import pytest
from real_text import REFERENCE
from temporary_clone import SHRUNKEN

from benchmarks.code_graph import TOP, stages
from quartet import settings as settings_module
from quartet.families import FAMILIES, ITEMS
from quartet.params.editing import changed_yaml, flattened

# What changes no output: the machine's business, and how patiently a file is downloaded.
UNDECLARED = ("runtime.", "download.retries", "download.timeout")


class Recorder:
    """Notes the dotted names of the settings that are read of whatever `read_settings` returns."""

    def __init__(self, monkeypatch):
        self.read, self._places, self._kinds = set(), {}, set()
        self._monkeypatch, self._read_settings = monkeypatch, settings_module.read_settings
        monkeypatch.setattr(settings_module, "read_settings", self._watched)

    def _watched(self, path):
        found = self._read_settings(path)
        self._places.clear()
        self._watch(found.tree, "")
        self.read.clear()
        return found

    def _watch(self, section, prefix):
        self._places[id(section)] = prefix
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            if dataclasses.is_dataclass(value):
                self._watch(value, f"{prefix}{field.name}.")
        self._note_reads_of(type(section))

    def _note_reads_of(self, kind):
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        names, unwatched = {field.name for field in dataclasses.fields(kind)}, kind.__getattribute__

        def watched(section, name):
            value = unwatched(section, name)
            if name in names and id(section) in self._places and not dataclasses.is_dataclass(value):
                self.read.add(self._places[id(section)] + name)
            return value

        self._monkeypatch.setattr(kind, "__getattribute__", watched)


@pytest.mark.pipeline
def test_every_setting_that_a_stage_reads_is_declared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARTET_TRACKING", "off")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "own.txt").write_text(REFERENCE[:60_000])
    shutil.copy(TOP / "params.yaml", tmp_path)
    text, _ = changed_yaml(tmp_path / "params.yaml", flattened(SHRUNKEN))
    (tmp_path / "params.yaml").write_text(text)
    recorder = Recorder(monkeypatch)
    declared = {stage.name: stage.params for stage in stages()}
    runs = [
        ("download@weights", "download", {"item": "weights"}),
        *((f"{verb}@{item}", verb, {"item": item}) for item in ITEMS for verb in ("download", "preprocess")),
        *((f"train-{key}", f"train_{key}", {}) for key in FAMILIES),
        *((f"evaluate@{key}", "evaluate", {"family": key}) for key in FAMILIES),
    ]
    undeclared = {}
    for name, script, arguments in runs:
        module = importlib.import_module(f"stages.{script}")
        kinds = module.main.__annotations__
        chosen = {key: kinds[key].__origin__(value) for key, value in arguments.items()}
        module.main(**chosen, params=tmp_path / "params.yaml")
        assert recorder.read, name
        allowed = (*declared[name], *UNDECLARED)
        beyond = {
            read for read in recorder.read if not any(f"{read}.".startswith(f"{a.rstrip('.')}.") for a in allowed)
        }
        if beyond:
            undeclared[name] = beyond
    assert not undeclared
