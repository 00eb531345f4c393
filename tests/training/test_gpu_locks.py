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


def test_several_processes_are_started_when_enough_gpus_are_free(home):
    holding = holder("sys.stdin.read()")
    assert holding.stdout.readline() == "0\n"
    wait = "from quartet.training.gpu_locks import wait_for_gpus; wait_for_gpus(['a', 'b'], {}); print('free')"
    waiting, content = (
        subprocess.Popen(
            [sys.executable, "-c", wait.format(count)],
            cwd=TOP,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for count in (2, 1)
    )
    assert content.communicate(timeout=30) == ("free\n", "")
    assert "waiting for 2 GPUs: others train on some of the 2" in waiting.stderr.readline()
    time.sleep(0.2)
    assert waiting.poll() is None
    holding.kill()
    holding.wait()
    assert waiting.communicate(timeout=30)[0] == "free\n"


def test_a_process_that_asks_again_keeps_its_gpu(home):
    process = holder("print(lock_gpu(['a', 'b']), flush=True)")
    assert process.communicate(timeout=30)[0] == "0\n0\n"
