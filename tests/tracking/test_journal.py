"""Journals of runs: what survives a kill, damage and a full disk."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys

import pytest
from in_process import run as run_command

from benchmarks.code_graph import TOP
from quartet.artifacts.checksums import dvc_md5
from quartet.tracking import runs, searches, store
from quartet.tracking.journal import Journal
from quartet.tracking.journals import damaged, journal_of_output, unsent
from quartet.tracking.runs import PARENT_RUN, tracked_run
from quartet.tracking.sending import send_all, send_each


@pytest.fixture
def later(home, monkeypatch):
    """A repository whose runs stay in their journals."""
    monkeypatch.setenv("QUARTET_TRACKING", "later")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return home


def calls(journal):
    return [entry["call"] if entry else None for entry, _ in journal.entries()]


def test_half_a_line_is_skipped_and_the_next_is_whole(later):
    journal = Journal.create("stage")
    for call in ("first", "second"):
        journal.append(call)
    lines = journal.folder / "journal.jsonl"
    os.truncate(lines, lines.stat().st_size - 3)  # its writer was killed
    assert calls(journal) == ["first"]
    Journal(journal.folder).append("third")
    assert calls(journal) == ["first", None, "third"]


DAMAGED = [b"[]", b"{}", b'{"call": 5}', b"\xff\xfe", b"[" * 3000, b'{"call": "end"}', b"9" * 5000]


def test_damaged_lines_are_said_once_and_the_others_are_sent(later, capsys):
    with tracked_run("stage", {}, []) as run:
        run.log_scores({"loss": 0.5}, 1)
    (journal,) = unsent()
    with (journal.folder / "journal.jsonl").open("ab") as lines:
        lines.write(b"\n".join(DAMAGED) + b"\n")
    for text in DAMAGED:
        (journal.folder / "sent.json").write_bytes(text)
        assert isinstance(journal.sent(), dict) and "run_id" not in journal.sent()
    assert calls(journal).count(None) == len(DAMAGED)
    assert send_all(journal) and not unsent()
    assert capsys.readouterr().err.count("a damaged line of its journal") == 1


def test_what_is_kept_stays_when_the_output_is_replaced(later):
    output = later / "output"
    output.mkdir()
    (output / "file").write_text("old")
    with tracked_run("stage", {}, []) as run:
        run.log_files([output])
        run.log_outputs([output])
    (output / "new").write_text("new")
    (output / "new").replace(output / "file")
    (journal,) = unsent()
    kept = journal.folder / journal.find("log_file")["file"]
    assert [(path.name, path.read_text()) for path in kept.iterdir()] == [("file", "old")]
    checksum = journal.outputs()[f"dvc.out.{output}"]
    assert journal_of_output(output, checksum).id == journal.id and journal_of_output(output, "other") is None


FULL = """
import resource
from quartet.tracking.runs import PARENT_RUN, tracked_run
with tracked_run("stage", {}, []) as run:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    for step in range(100):
        run.log_scores({"loss": 0.5}, step)
    THEN
print("trained")
"""


@pytest.mark.parametrize(
    ("then", "recovers"),
    [
        ("pass", False),
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))", True),
    ],
)
def test_a_disk_that_takes_no_more_does_not_stop_the_stage(later, then, recovers):
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    code = FULL.replace("THEN", then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "trained\n"
    assert done.stderr.count("what is logged waits in memory, the stage continues") == 1
    (journal,) = unsent()
    whole = [entry["step"] for entry, _ in journal.entries() if entry and entry["call"] == "log_scores"]
    assert whole == list(range(len(whole))) and (len(whole) == 100) == recovers and whole
    assert ("entries are lost, since the disk takes none" in done.stderr) != recovers
    assert (journal.find("end") is not None) == recovers


def test_an_outage_stops_no_search_and_its_end_is_sent_later(home, monkeypatch, capsys):
    monkeypatch.setenv("QUARTET_TRACKING", "on")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    search = searches.search_run("rates")
    trial = searches.begin_trial(search, "rates-0", {"steps": 1})
    (home / "trials.csv").write_text("a table")
    with contextlib.closing(sqlite3.connect(home / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        searches.end_trial(trial, {"validation_score": 0.5})
        searches.end_search(search, [home / "trials.csv"], "FINISHED")
    assert capsys.readouterr().err.count(" not in MLflow: ") == 2
    assert [bool(send_all(journal)) for journal in unsent()] == [True, True]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert searches.begin_trial(search, "rates-1", {"steps": 1}) == dict(os.environ)
    assert "the trial's run is not in MLflow: " in capsys.readouterr().err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    client, _ = store.open_store()
    runs = [client.get_run(run_id) for run_id in (search, trial[PARENT_RUN])]
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert runs[1].data.metrics == {"validation_score": 0.5}
    assert [file.path for file in client.list_artifacts(search)] == ["trials.csv"]


def test_entries_are_lines_of_json(later):
    with tracked_run("stage", {"steps": 3}, []) as run:
        run.log_scores({"loss": float("nan")}, 1)
    (journal,) = unsent()
    lines = [json.loads(line) for line in (journal.folder / "journal.jsonl").read_text().splitlines()]
    assert lines[0]["call"] == "begin" and lines[0]["params"] == {"steps": "3"}
    assert [line["status"] for line in lines if line["call"] == "end"] == ["FINISHED"]


def _replaced(old, new):
    def damage(journal):
        lines = journal.folder / "journal.jsonl"
        content = lines.read_bytes()
        assert old in content
        lines.write_bytes(content.replace(old, new))

    return damage


def _confirmed(**state):
    def damage(journal):
        told = {"run_id": "f" * 32, "position": 0, "tracker": store.shown_address(), **state}
        (journal.folder / "sent.json").write_text(json.dumps(told))

    return damage


# What is damaged, and how many of the three rows MLflow gets all the same.
SPOILT = {
    "name of the first call": (_replaced(b'"begin"', b'"bggin"'), 3),
    "parent": (_replaced(b'"parent": null', b'"parent": 5'), 3),
    "one step": (_replaced(b'"step": 1}', b'"step": "b"}'), 2),
    "a step of 30 digits": (_replaced(b'"step": 1}', b'"step": 1%s}' % (b"0" * 29)), 2),
    "one score": (_replaced(b'{"loss": 0.5}, "step": 1}', b'{"loss": "z"}, "step": 1}'), 2),
    "a name that MLflow refuses": (_replaced(b'"loss": 0.5}, "step": 1}', b'"l\'oss": 0.5}, "step": 1}'), 2),
    "status": (_replaced(b'"FINISHED"', b'"FINISHEE"'), 3),
    "position": (_confirmed(position="x"), 3),
    "position in a line": (_confirmed(position=7), 3),
    "position beyond the end": (_confirmed(position=10**9), 3),
    "a run that a database which was moved away had": (_confirmed(), 3),
    "id of the run": (_confirmed(run_id=5), 3),
}


def test_damage_to_one_journal_neither_blocks_the_others_nor_costs_more_than_its_line(later, monkeypatch, capsys):
    for kind in [*SPOILT, "whole"]:
        with tracked_run("stage", {"kind": kind}, []) as run:
            for step in range(3):
                run.log_scores({"loss": 0.5}, step)
    for journal, (damage, _) in zip(unsent(), SPOILT.values(), strict=False):
        damage(journal)
    journals = unsent()
    monkeypatch.setattr("quartet.tracking.journal.is_alive", lambda process: False)
    found = [(run_id, error) for _, run_id, error in send_each(journals)]
    assert all(run_id and error is None for run_id, error in found), found
    client, _ = store.open_store()
    rows = [len(client.get_metric_history(run_id, "loss")) for run_id, _ in found]
    assert sorted(rows) == sorted([*(rows for _, rows in SPOILT.values()), 3])
    assert not unsent() and "a damaged line of its journal" in capsys.readouterr().err


def test_a_kill_while_a_sent_journal_is_removed_leaves_nothing(later):
    with tracked_run("stage", {}, []) as run:
        run.log_scores({"loss": 0.5}, 1)
    (journal,) = unsent()
    journal.confirm({"run_id": "f" * 32, "is_complete": True, "outputs": {}})
    assert not unsent() and not journal.folder.exists()


def test_a_journal_of_which_nothing_is_whole_is_said(later):
    with tracked_run("stage", {}, []):
        pass
    (journal,) = unsent()
    lines = journal.folder / "journal.jsonl"
    lines.write_bytes(b"\0" * 500)  # as some file systems leave it when the power fails
    assert not unsent() and not damaged()  # its stage may be about to write
    os.utime(lines, (0, 0))
    assert [each.id for each in damaged()] == [journal.id]
    assert f"{journal.folder}: nothing in it is whole" in run_command(later, "quartet", "sync", code=1)


def test_a_damaged_run_json_costs_no_scores(later, monkeypatch, capsys):
    monkeypatch.chdir(later)
    (later / "reports/cnn").mkdir(parents=True)
    for text in (b"{", b"[]", b'{"run_id": 5}', b"\xff"):
        (later / "reports/cnn/run.json").write_bytes(text)
        with tracked_run("evaluate-cnn", {}, []) as run:
            run.log_training_run_scores("cnn", {"accuracy": 0.5})
    assert [journal.find("log_training_run_scores")["training"] for journal in unsent()] == [{}] * 4
    assert capsys.readouterr().err.count("it only tells which run trained the model") == 3


def test_what_a_stage_reads_is_read_once_for_its_checksum(later, monkeypatch):
    folder, read = later / "data", []
    folder.mkdir()
    (folder / "train.safetensors").write_bytes(b"some images")
    monkeypatch.setattr(runs, "dvc_md5", lambda path: read.append(path) or dvc_md5(path))
    with tracked_run("train-cnn", {}, [folder]) as run:
        run.log_dataset("digits", folder, {"train": 1})
    (journal,) = unsent()
    run_id = send_all(journal)
    logged = store.open_store()[0].get_run(run_id)
    (dataset,) = logged.inputs.dataset_inputs
    assert read == [folder] and f"{dataset.dataset.digest}.dir" == dvc_md5(folder)
    assert logged.data.tags[f"dvc.dep.{folder.as_posix()}"] == dvc_md5(folder)
