"""Checkpoints: whole or not believed, often enough, at little cost, and never of other settings for long."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading

import psutil
import pytest
import torch
from filelock import FileLock
from in_process import run as run_command
from saved_states import generations, lose_a_tensor, reseal
from small_training import CPU, SETTINGS, in_order, run, same, task_of

from benchmarks.code_graph import TOP
from quartet.artifacts.stop_requests import Interrupted
from quartet.training import checkpoints, old_checkpoints
from quartet.training.checkpoints import Checkpoint, Progress
from quartet.training.loop import train


def flip_a_bit(name):
    def damage(generation):
        content = bytearray((generation / name).read_bytes())
        content[len(content) // 2] ^= 1
        (generation / name).write_bytes(content)

    return damage


def lose_a_key(generation):
    values = json.loads((generation / "progress.json").read_text())
    del values["history"]
    (generation / "progress.json").write_text(json.dumps(values))
    reseal(generation, "progress.json")


def put_a_folder(name):
    def damage(generation):
        (generation / name).unlink()
        (generation / name).mkdir()

    return damage


def put_a_file(generation):
    checkpoints.remove(generation)
    generation.write_text("not a folder")


DAMAGES = {
    "bit of the state": flip_a_bit("state.safetensors"),
    "bit of the progress": flip_a_bit("progress.json"),
    "bit of the checksums": flip_a_bit("checksums.json"),
    "missing file": lambda generation: (generation / "progress.json").unlink(),
    "missing checksums": lambda generation: (generation / "checksums.json").unlink(),
    "nested": lambda generation: (generation / "checksums.json").write_text("[" * 3000),
    "missing key": lose_a_key,
    "missing weight": lose_a_tensor("network."),
    "missing average": lose_a_tensor("average."),
    "missing kept weight": lose_a_tensor("kept."),
    "missing momentum": lose_a_tensor("optimizers."),
    "missing sum": lose_a_tensor("sum."),
    "folder for the state": put_a_folder("state.safetensors"),
    "folder for the progress": put_a_folder("progress.json"),
    "file for the folder": put_a_file,
}


def killed_at(step, key):
    """Train until the batch of a step is asked for; returns the checkpoint's folder."""

    def die(number):
        if number == step:
            raise MemoryError

    checkpoint = Checkpoint("stage", {"key": key})
    with pytest.raises(MemoryError):
        train(task_of(0, at_step=die), SETTINGS, seed=0, device=CPU, checkpoint=checkpoint)
    checkpoint.close(finished=False)
    return checkpoint.folder


@pytest.mark.parametrize("damaged", [1, 2], ids=["the newer", "both"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_checkpoint_is_said_in_a_line_and_the_older_one_or_the_start_serves(
    home, always, capsys, damage, damaged
):
    whole = run(task_of(0))
    saved = generations(killed_at(7, "damaged"))
    assert len(saved) == 2
    for generation in saved[-damaged:]:
        damage(generation)
    capsys.readouterr()
    resumed = run(task_of(0), key="damaged")
    said = [line for line in capsys.readouterr().out.splitlines() if "is removed, since it is damaged" in line]
    assert len(said) == damaged and str(saved[-1]) in said[0]
    assert same(whole.weights, resumed.weights) and in_order(whole) == in_order(resumed)


LACKS = {
    "memory": (resource.RLIMIT_AS, lambda: psutil.Process().memory_info().vms),
    "open files": (resource.RLIMIT_NOFILE, lambda: 3),
}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit these so")
@pytest.mark.parametrize("lacking", LACKS)
def test_a_checkpoint_that_the_machine_cannot_read_now_is_not_taken_for_damaged(home, lacking):
    checkpoint = Checkpoint("stage", {"key": lacking})
    checkpoint.save(Progress({"sum.loss": torch.zeros(2**26)}, {"step": 1}))
    kind, least = LACKS[lacking]
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (least(), before[1]))
    try:
        with pytest.raises((MemoryError, OSError)):
            checkpoint.load()
    finally:
        resource.setrlimit(kind, before)
    assert checkpoint.load().values == {"step": 1}
    checkpoint.close(finished=True)


@pytest.mark.parametrize("step", range(1, 12))
def test_a_checkpoint_after_any_step_goes_on_to_the_same_bytes(home, always, capsys, step):
    whole = run(task_of(0))
    killed_at(step, "any")
    resumed = run(task_of(0), key="any")
    assert f"resuming from step {step} of 12" in capsys.readouterr().out
    assert same(whole.weights, resumed.weights) and in_order(whole) == in_order(resumed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("where", ["a step", "a validation", "the tracker's answer"])
def test_a_signal_saves_wherever_it_arrives(home, number, where, monkeypatch):
    """Of a validation that it interrupts nothing is kept; that of the tracker's answer is."""
    before = signal.signal(number, signal.SIG_DFL)  # pytest may run below nohup
    whole, task = run(task_of(0)), task_of(0)
    asked = {"a step": 5, "a validation": 8, "the tracker's answer": 8}[where]

    def send(*_):
        os.kill(os.getpid(), number)

    if where == "a step":
        task = task_of(0, at_step=lambda step: step == 5 and send())
    elif where == "a validation":
        calls, validate = iter([False, True]), task.validate
        object.__setattr__(task, "validate", lambda network: (next(calls) and send()) or validate(network))
    told = []

    def tell(row):
        told.append(row["step"])
        if where == "the tracker's answer" and row["step"] == 8:
            send()
            raise AssertionError("the signal did not interrupt this")

    checkpoint = Checkpoint("stage", {"key": "signal"})
    try:
        with pytest.raises(Interrupted) as ended:
            train(task, SETTINGS, seed=0, device=CPU, checkpoint=checkpoint, on_validation=tell)
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    saved = json.loads((generations(checkpoint.folder)[-1] / "progress.json").read_text())
    assert saved["step"] == (6 if where == "a step" else asked)
    assert len(saved["history"]) == {"a step": 1, "a validation": 1, "the tracker's answer": 2}[where]
    resumed = run(task_of(0), key="signal")
    assert same(whole.weights, resumed.weights) and in_order(whole) == in_order(resumed)


def test_a_checkpoint_with_numbers_that_are_not_finite_is_never_saved(home, always):
    checkpoint = Checkpoint("stage", {"key": "infinite"})
    task = task_of(0)

    def spoil(step):
        if step == 5:
            with torch.no_grad():
                task.network[0].weight.fill_(float("nan"))

    object.__setattr__(task, "examples_at", lambda number: spoil(number) or ())
    with pytest.raises(FloatingPointError):
        train(task, SETTINGS, seed=0, device=CPU, checkpoint=checkpoint)
    checkpoint.close(finished=False)
    state = checkpoints.load_tensors(generations(checkpoint.folder)[-1] / "state.safetensors")
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_checkpoints_are_saved_by_time_and_at_good_moments_that_cost_little(home, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    checkpoint = Checkpoint("stage", {"key": "time"}, seconds=30.0)
    seconds_to_save = [0.1]

    def slow_save(path, tensors):
        clock[0] += seconds_to_save[0]
        path.write_bytes(b"")

    monkeypatch.setattr(checkpoints, "save_tensors", slow_save)
    progress = Progress({}, {})
    assert checkpoint.is_due(good_moment=True) and not checkpoint.is_due()
    clock[0] = 30.0
    assert checkpoint.is_due()
    checkpoint.save(progress)
    clock[0] += 9.0
    assert not checkpoint.is_due(good_moment=True)
    clock[0] += 2.0
    assert checkpoint.is_due(good_moment=True) and not checkpoint.is_due()
    assert "now one is saved" not in capsys.readouterr().out
    seconds_to_save[0] = 0.6
    checkpoint.save(progress)
    assert "now one is saved" not in capsys.readouterr().out  # a disk may be slow once
    checkpoint.save(progress)
    assert "saving a checkpoint takes 0.6 s: now one is saved every 90 s" in capsys.readouterr().out
    clock[0] += 80.0
    assert not checkpoint.is_due()
    checkpoint.save(progress)
    assert "now one is saved" not in capsys.readouterr().out
    checkpoint.close(finished=True)


KILLED_SAVES = """
import os, signal, sys
import torch
from quartet.artifacts import exchanging
from quartet.training.checkpoints import Checkpoint, Progress
number, after, seen, replace = int(sys.argv[1]), sys.argv[2] == "after", 0, os.replace
def counted(*arguments):
    global seen
    seen += 1
    if seen == number and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)
    if seen == number:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = counted
checkpoint = Checkpoint("stage", {"key": "killed"})
for step in range(1, 4):
    checkpoint.save(Progress({"sum.loss": torch.tensor(float(step))}, {"step": step}))
    print(step, flush=True)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_rename_of_a_save_leaves_the_last_checkpoint(home, when):
    """Each save has four renames: of three files, and of their folder."""
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    for number in (5, 8, 9, 12):
        done = subprocess.run(
            [sys.executable, "-c", KILLED_SAVES, str(number), when], env=environment, capture_output=True, text=True
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        checkpoint = Checkpoint("stage", {"key": "killed"})
        assert not list(checkpoint.folder.glob(".unfinished-*"))
        said = int(done.stdout.split()[-1])
        found = checkpoint.load()
        assert found.values["step"] == said + (when == "after" and number % 4 == 0)
        assert found.tensors["sum.loss"] == found.values["step"]
        checkpoint.close(finished=True)


def leave(key, size=1000):
    checkpoint = Checkpoint("stage", {"key": key})
    checkpoint.save(Progress({"sum.loss": torch.zeros(size)}, {}))
    checkpoint.close(finished=False)
    return checkpoint.folder


def test_checkpoints_of_other_settings_are_pruned_to_the_newest_few(home, monkeypatch, capsys):
    left = []
    monkeypatch.setattr(old_checkpoints, "KEPT", 100)
    for number in range(6):
        left.append(leave(number))
        for file in left[-1].rglob("*"):
            os.utime(file, (number, number))
    running = Checkpoint("stage", {"key": 0})
    monkeypatch.setattr(old_checkpoints, "KEPT", 3)
    Checkpoint("stage", {"key": "other"}).close(finished=False)
    assert [folder.exists() for folder in left] == [True, False, False, True, True, True]
    assert "older trainings with other settings" in capsys.readouterr().out
    monkeypatch.setattr(old_checkpoints, "KEPT_BYTES", 9000)
    Checkpoint("stage", {"key": "other"}).close(finished=False)
    assert [folder.exists() for folder in left] == [True, False, False, False, True, True]
    running.close(finished=False)


def test_who_looks_whether_a_training_runs_does_not_cost_it_its_checkpoints(home, monkeypatch):
    folder = leave("looked at")
    looking = FileLock(folder.with_suffix(".lock"), thread_local=False)
    looking.acquire()
    threading.Timer(0.2, looking.release).start()
    checkpoint = Checkpoint("stage", {"key": "looked at"})
    assert checkpoint.load() is not None
    checkpoint.close(finished=False)
    monkeypatch.setattr(old_checkpoints, "_is_running", checkpoints.remove)  # as another process does, which is faster
    assert old_checkpoints.unfinished_trainings(folder.parent) == []


def test_clean_shows_what_is_left_and_removes_it_when_told(home):
    (home / "models/.unfinished-abc").mkdir(parents=True)
    folder = leave("left")
    running = Checkpoint("stage", {"key": "running"})
    running.save(Progress({}, {}))
    shown = run_command(home, "quartet", "clean")
    assert "models/.unfinished-abc: left by a run" in shown and f".checkpoints/stage/{folder.name}: an unf" in shown
    assert running.folder.name not in shown and folder.exists() and (home / "models/.unfinished-abc").exists()
    assert "removed" in run_command(home, "quartet", "clean", "--yes")
    assert not folder.exists() and not (home / "models/.unfinished-abc").exists() and running.folder.exists()
    assert "nothing" in run_command(home, "quartet", "clean")
    running.close(finished=True)


def test_the_newest_unfinished_training_stays_however_large(home, monkeypatch, capsys):
    monkeypatch.setattr(old_checkpoints, "KEPT_BYTES", 10)
    for key in ("older", "newest"):
        checkpoint = Checkpoint("stage", {"settings": key})
        checkpoint.save(Progress({"weights": torch.zeros(100)}, {"step": 1}))
        checkpoint.close(finished=False)
        os.utime(next(checkpoint.folder.rglob("state.safetensors")), (1, 1) if key == "older" else None)
    Checkpoint("stage", {"settings": "another"}).close(finished=False)
    assert "removed the checkpoints of 1 older trainings" in capsys.readouterr().out
    assert Checkpoint("stage", {"settings": "newest"}).load().values == {"step": 1}


def test_what_keeps_a_training_from_being_resumed_is_said(home, monkeypatch, capsys):
    described = {"settings": {"seed": 0}, "data": "a", "device": "cpu"}
    checkpoint = Checkpoint("stage", described)
    checkpoint.save(Progress({}, {"step": 7}))
    checkpoint.close(finished=False)
    monkeypatch.setattr(checkpoints, "code_checksum", lambda: "changed")
    assert Checkpoint("stage", {**described, "device": "gpu"}).load() is None
    said = capsys.readouterr().out
    assert "with these settings, at step 7, cannot be resumed, since its device and code differed" in said
    assert Checkpoint("stage", {**described, "settings": {"seed": 1}}).load() is None
    assert "cannot be resumed" not in capsys.readouterr().out


def test_a_disk_that_fails_ends_no_training(home, monkeypatch, capsys):
    checkpoint = Checkpoint("stage", {"settings": 0}, seconds=0.0)
    assert checkpoint.save(Progress({}, {"step": 1}))
    save = checkpoints.save_tensors
    monkeypatch.setattr(checkpoints, "save_tensors", raising(OSError(errno.ENOSPC, "No space left on device")))
    assert not checkpoint.save(Progress({}, {"step": 2}))
    assert not checkpoint.save(Progress({}, {"step": 2}))
    assert capsys.readouterr().out.count("no checkpoint could be saved, and the training goes on: ") == 1
    assert not list(checkpoint.folder.glob(".unfinished-*")) and checkpoint.load().values == {"step": 1}
    monkeypatch.setattr(checkpoints, "save_tensors", save)
    assert checkpoint.save(Progress({}, {"step": 3})) and checkpoint.load().values == {"step": 3}


def raising(error):
    def fail(*arguments):
        raise error

    return fail
