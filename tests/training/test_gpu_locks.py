"""Processes share GPUs by taking turns; tried with locks alone, without a GPU."""

import subprocess
import sys
import time

from benchmarks.code_graph import TOP

HOLD = "from quartet.training.gpu_locks import lock_gpu; import sys; print(lock_gpu(['a', 'b']), flush=True); {}"


def holder(then):
    command = [sys.executable, "-c", HOLD.format(then)]
    return subprocess.Popen(
        command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_each_process_has_a_gpu_of_its_own_and_the_next_one_waits(home):
    first = holder("sys.stdin.read()")
    assert first.stdout.readline() == "0\n"
    second = holder("sys.stdin.read()")
    assert second.stdout.readline() == "1\n"
    third = holder("pass")
    assert "waiting for a GPU: all 2 are taken" in third.stderr.readline()
    time.sleep(0.2)
    assert third.poll() is None
    second.kill()  # a killed process leaves its GPU to the next
    assert third.communicate(timeout=30)[0] == "1\n"
    first.kill()
    first.wait()


def test_a_process_that_asks_again_keeps_its_gpu(home):
    process = holder("print(lock_gpu(['a', 'b']), flush=True)")
    assert process.communicate(timeout=30)[0] == "0\n0\n"
