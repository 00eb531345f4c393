"""The parts of the benchmark of scale: bare steps, the times of the loop, memory, the table."""

import copy
import subprocess
import sys
import time

import pandas as pd
import torch
from family_plans import CPU, language_plan, prepare

from benchmarks import scale, step_times
from quartet.training.seeding import seed_everything
from quartet.training.state import TrainingState

STEADY = {"dropout": 0.0, "schedule": "constant", "warmup": 0.0, "steps": 8, "ema": 0.0}


def small_training(folder):
    prepare(folder)
    seed_everything(0)
    settings, plan = language_plan(folder, CPU, **STEADY)
    return settings, plan.task


def test_bare_steps_are_those_of_the_loop_and_rounds_are_timed_in_turn(tmp_path):
    settings, task = small_training(tmp_path)
    bare, given = copy.deepcopy(task.network), copy.deepcopy(task.network)
    step = step_times.bare_steps(bare, task, settings, seed=0)
    state = TrainingState(task, settings, seed=0, device=CPU)
    for _ in range(3):
        step()
        state.take_step()
    for name, weight in task.network.state_dict().items():
        torch.testing.assert_close(bare.state_dict()[name], weight, rtol=1e-5, atol=1e-7)
    task.network.load_state_dict(given.state_dict())
    rested = step_times.Stopwatch(lambda: time.sleep(0.05))
    times = step_times.loop_times(task, settings, 0, rounds=2, steps=4, between=rested)
    assert len(times) == 2 and len(rested.times) == 12
    assert 0 < min(times) < 0.05 <= min(rested.times)


def test_memory_is_the_peak_of_each_process_that_a_stage_starts():
    grow = "x = b'1' * 200_000_000; del x; print(flush=True); input()"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", start], **pipes) as parent:
        parent.stdout.readline()
        own, child = scale.with_children(parent.pid)
        assert scale.peak_of(own) < 100_000 < scale.peak_of(child)
        parent.communicate(b"\n")
    assert scale.with_children(child) == [child] and scale.peak_of(child) == 0


def test_the_table_has_medians_and_the_ratio_of_neighbouring_rounds(tmp_path):
    figures = {
        scale.OUTSIDE: [0.01, 0.02, 0.09],
        scale.UTILISATION: [0.5, 0.4, 0.3],
        scale.RATES[0]: [10.0, 20.0, 30.0],
        scale.RATES[1]: [18.0, 36.0, 33.0],
        scale.MEMORIES[0]: [0.5],
        scale.MEMORIES[1]: [0.4],
    }
    rows = [("lm", what, number, value) for what, values in figures.items() for number, value in enumerate(values)]
    table = pd.DataFrame(rows, columns=["family", "what", "round", "figure"])
    assert "| lm | 2.0% | 40% | 20 | 33 (1.80×) | 0.50 GiB | 0.40 GiB |" in scale.summary(table).splitlines()
    scale.plot(table, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
