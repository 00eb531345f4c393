"""Run stages in children of one process that has imported everything, and kill them for real.

`test_kills.py` starts such a process in the folder of a small pipeline: that of the tests has threads, and cannot fork.
"""

import functools
import hashlib
import importlib
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from pkgutil import resolve_name

from quartet.artifacts import exchanging
from quartet.families import FAMILIES

KILLED = signal.SIGKILL


def forked(stage, *words, prepare=lambda: None):
    """Run a stage in a child; returns its exit code (negative for a signal) and what it printed."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        os.dup2(writes, 1)
        os.dup2(writes, 2)
        prepare()
        sys.argv = [stage, *words]
        code = 0
        try:
            runpy.run_module(f"stages.{stage}", run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        os._exit(code)
    os.close(writes)
    with os.fdopen(reads) as printed:
        text = printed.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def die():
    os.kill(os.getpid(), KILLED)


def kill_at_rename(number, *, after, exchanges):
    """Die at the rename of an output with this number, before or after it.

    Those within unfinished folders do not count. Without `exchanges`, it is as if the file system had none.
    """
    seen = 0

    def counted(function):
        def call(*arguments):
            nonlocal seen
            counts = ".unfinished-" not in str(arguments[1]) and ".checkpoints" not in str(arguments[1])
            seen += counts
            if counts and seen == number and not after:
                die()
            result = function(*arguments)
            if counts and seen == number and after:
                die()
            return result

        return call

    os.replace = counted(os.replace)
    exchanging.exchange = counted(exchanging.exchange) if exchanges else lambda *_: False


def checksums(places, marker="of-the-old.txt"):
    """Of each place the checksums of its files by name, but those of run.json and the marker."""
    found = {}
    for place in map(Path, places):
        files = sorted(place.rglob("*")) if place.is_dir() else [place] if place.exists() else []
        kept = [file for file in files if file.is_file() and file.name not in ("run.json", marker)]
        found[str(place)] = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in kept}
    return found


def left_over():
    """Everything that killed processes left in the folders of outputs."""
    return [path for top in ("data", "models", "reports") for path in Path(top).rglob(".*") if "keep" not in path.name]


def killed_at_every_rename(stage, words, outputs, *, exchanges):
    """Kill a stage before and after each of its renames; returns how many kills there were.

    After each, every output is there and whole: the old one, which has a marker, or the new one.
    """
    whole, kills = checksums(outputs), 0
    for after in (False, True):
        for number in range(1, 1000):
            for folder in filter(Path.is_dir, map(Path, outputs)):
                (folder / "of-the-old.txt").touch()
            kill = functools.partial(kill_at_rename, number, after=after, exchanges=exchanges)
            code, text = forked(stage, *words, prepare=kill)
            if code == 0:
                break
            assert code == -KILLED, text
            kills += 1
            for output, files in checksums(outputs).items():
                former = Path(output).with_name(f".former-{Path(output).name}")
                if exchanges or not former.exists():
                    assert files == whole[output], (number, after, output)
        assert checksums(outputs) == whole, (number, after)
        code, text = forked(stage, *words)
        assert code == 0 and checksums(outputs) == whole, text
        assert not left_over(), left_over()
    return kills


def stop_training(number, steps):
    """Send this process a signal, or kill it, after a number of steps; a checkpoint is saved after each."""
    loop = importlib.import_module("quartet.training.loop")
    checkpoints = importlib.import_module("quartet.training.checkpoints")
    take_step = loop.TrainingState.take_step

    def step_and_stop(training):
        if training.done == steps:
            os.kill(os.getpid(), number)
        take_step(training)

    loop.TrainingState.take_step = step_and_stop
    if number == KILLED:
        checkpoints.Checkpoint.is_due = lambda checkpoint, *, good_moment=False: True
    else:
        signal.signal(number, signal.SIG_DFL)  # the tests may run below nohup


def import_everything():
    """What stages import late, so that children need not."""
    late = ["typer", "pandas", "sklearn.metrics", "matplotlib.pyplot", "torch._dynamo", "quartet.training.run"]
    late += [f"quartet.training.{name}" for name in ("loop", "checkpoints", "seeding", "devices")]
    late += ["quartet.settings", "quartet.layers.layer_table", "quartet.reporting.page.html_report"]
    for name in late:
        importlib.import_module(name)
    for family in FAMILIES.values():
        resolve_name(family.plan), resolve_name(family.evaluation)


def serve():
    """Run each script that a line of the input names in a child, and answer with its exit code."""
    import_everything()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                exec(compile(Path(line.strip()).read_text(), "script", "exec"), globals())
                code = 0
            except BaseException:
                traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(code)
        print(f"ended with {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}", flush=True)


if __name__ == "__main__":
    serve()
