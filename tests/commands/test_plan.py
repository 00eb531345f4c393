"""`python -m quartet plan`: what it counts is what there is, and what it says of another machine follows from it."""

import json
import re
import subprocess
import sys

import pytest
import torch
from family_plans import prepare
from in_process import run
from torch import nn

from benchmarks.code_graph import TOP
from quartet.artifacts.errors import BadInput
from quartet.commands.plan.command import duration, flops
from quartet.commands.plan.live_memory import LiveMemory
from quartet.commands.plan.measuring import Measured, Memory, Work, _flop_counter
from quartet.commands.plan.projection import Machine, projected

# Of the text of `family_plans.prepare`: activations take most of the memory.
LARGE = {"batch_size": 48, "context": 128, "width": 64, "layers": 3, "heads": 4, "ngrams": 64, "steps": 100}
# Peak memory of a process, in bytes, that takes three steps of this training, above what the libraries take.
MEASURED_PEAK = """
import json, sys
from pathlib import Path
import family_plans
import torch
from quartet.artifacts.memory import peak_memory
from quartet.training.state import TrainingState
def take_steps(number, /, **settings):
    chosen, plan = family_plans.language_plan(Path(sys.argv[1]), torch.device("cpu"), **settings)
    state = TrainingState(plan.task, chosen, seed=0, device=torch.device("cpu"))
    for _ in range(number):
        state.take_step()
take_steps(1)
before = peak_memory()
take_steps(3, **json.loads(sys.argv[2]))
print(peak_memory() - before)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A checkout with prepared data, and small settings."""
    folder = tmp_path_factory.mktemp("checkout")
    prepare(folder / "made")
    (folder / "data/processed").mkdir(parents=True)
    for name, made in {"images": "grey", "sequences": "sequences", "text": "text"}.items():
        (folder / "data/processed" / name).symlink_to(folder / "made" / made)
    (folder / "params.yaml").write_text(
        "runtime: {device: cpu}\n"
        "train_cnn: {width: 8, batch_size: 16, steps: 9, validate_every: 4}\n"
        "train_rnn: {hidden_size: 8, batch_size: 16, steps: 9, cell: lstm}\n"
        "train_lm: {width: 16, layers: 1, heads: 2, context: 16, ngrams: 64, batch_size: 4, steps: 9}\n"
        "train_diffusion: {width: 8, text_width: 16, text_heads: 2, batch_size: 16, steps: 9}\n"
    )
    return folder


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def rows_of(output):
    """The cells of each row of the table, by its name."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if "│" in line]
    return {name: cells for name, *cells in rows}


@pytest.mark.parametrize("family", ["cnn", "rnn", "lm", "diffusion"])
def test_every_family_has_a_plan_and_nothing_is_written(prepared, family):
    before = files_of(prepared)
    rows = rows_of(run(prepared, "quartet", "plan", family))
    assert rows["steps"] == ["9"] and rows["time to the end"][0].endswith(" s")
    assert re.fullmatch(r"[\d.]+ [kMG]FLOP", rows["FLOPs per step, forward and backward"][0])
    assert rows["weights"] == rows["moving average"]
    assert 0 < in_bytes(rows["gradients"][0]) <= in_bytes(rows["weights"][0])  # buffers have none
    assert rows["(activations of a step)"] != ["0 B"] != rows["optimizer state"]
    assert files_of(prepared) == before


def test_another_machine_has_a_column_and_a_price(prepared):
    there = ("--processes", 4, "--tflops", "0.001", "--price", 2)
    output = run(prepared, "quartet", "plan", "lm", *there, "--with", "train_lm.batch_size=8")
    rows = rows_of(output)
    assert rows["examples per step"] == ["8", "2"] and rows["parameters"][0] == rows["parameters"][1]
    assert rows["rate"][1] == "400 MFLOP/s" and rows["cost, all processes"] == ["", "0.00"]
    assert "4 × 0.001 TFLOP/s, 40% of it used" in output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--processes", 0, "--tflops", 1], "--processes: found 0"),
        (["--tflops", "nan"], "--tflops: found nan"),
        (["--tflops", 1, "--utilisation", 1.5], "--utilisation: found 1.5"),
        (["--tflops", 1, "--price", -1], "--price: found -1"),
        (["--price", 1], "--tflops is missing"),
        (["--processes", 5, "--tflops", 1], "--processes: found 5, more than the 4 examples of a batch"),
        (["--with", "train_cnn.width=4"], "train_cnn.width: found a setting that is not one of train_lm"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(prepared, words, said):
    assert said in run(prepared, "quartet", "plan", "lm", *words, code=2)


def test_without_data_it_says_which_command_prepares_them(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    said = run(tmp_path, "quartet", "plan", "diffusion", code=1)
    assert "data/processed/images: there are no prepared data; run `dvc repro preprocess@images` first" in said


def test_the_memory_is_what_a_process_takes(prepared, monkeypatch):
    """Within 15 %, at a size where activations dominate.

    The C library gives freed memory back at once here. By default it keeps blocks below 32 MB, which fragment: these
    steps then take 277 MB for 168 MB of tensors.
    """
    settings = {**LARGE, "precision": "float32", "optimizer": "adamw"}
    changes = [f"--with=train_lm.{name}={value}" for name, value in settings.items()]
    rows = rows_of(run(prepared, "quartet", "plan", "lm", *changes))
    lasting = ("weights", "gradients", "optimizer state", "moving average")
    planned = sum(in_bytes(rows[name][0]) for name in (*lasting, "(activations of a step)"))
    command = [sys.executable, "-c", MEASURED_PEAK, str(prepared / "made"), json.dumps(settings)]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    monkeypatch.setenv("PYTHONPATH", f"{TOP / 'tests'}:{TOP}")
    measured = int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=TOP).stdout)
    assert planned > 50e6 and in_bytes(rows["(activations of a step)"][0]) > 0.8 * planned
    assert planned == pytest.approx(measured, rel=0.15)


def in_bytes(text):
    number, unit = text.split()
    return float(number) * 1000 ** (["B", "kB", "MB", "GB"].index(unit))


def test_live_memory_counts_each_storage_once_and_until_it_is_freed():
    held = torch.ones(1000)
    with LiveMemory() as memory:
        held.add_(1)  # was there before
        made = held * 2
        view = made[:500]
        assert memory.live == 4000
        more = made + 1
        assert memory.live == 8000
        del more
        assert memory.live == 4000
        del made
        assert memory.live == 4000  # the view holds it
        del view
    assert memory.live == 0 and memory.peak == 8000


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_count_though_they_are_one_operation(kind):
    layer, inputs = kind(8, 16), torch.randn(5, 4, 8, requires_grad=True)
    with _flop_counter() as counter:
        layer(inputs)[0].sum().backward()
    matrices = sum(weight.numel() for weight in layer.parameters() if weight.ndim == 2)
    # The first hidden state has no gradient, so torch's GRU, which is many operations, takes a product less.
    assert counter.get_total_flops() == pytest.approx(3 * 2 * 5 * 4 * matrices, rel=0.1)


def measured(**changes):
    memory = Memory(10, 10, 20, 10, 10, 5, activations=800, validation=50, good=0)
    known = {
        "work": Work(8 * 10**15, 10**15, 2 * 10**15),
        "memory": memory,
        "step_seconds": 1,
        "validation_seconds": 1,
        "process": 0,
    }
    counted = {"parameters": 1, "examples": 8, "accumulate": 1, "steps": 900, "validations": 9, "sharded": False}
    return Measured(**{**counted, **known, **changes})


def test_a_batch_is_split_and_the_update_is_not():
    one = projected(measured(), Machine(1, 100.0, 0.5, 3.0))
    assert one.step_seconds == pytest.approx(9e15 / 50e12) and one.validation_seconds == pytest.approx(40)
    assert one.seconds == pytest.approx(900 * 180 + 9 * 40) and one.cost == pytest.approx(one.seconds / 3600 * 3)
    four = projected(measured(), Machine(4, 100.0, 0.5, None))
    assert four.step_seconds == pytest.approx(3e15 / 50e12) and four.cost is None
    assert (four.memory.activations, four.memory.total, one.memory.total) == (200, 265, 865)


def test_sharded_weights_are_shared_out_and_data_is_not():
    four = projected(measured(sharded=True), Machine(4, 100.0, 0.5, None))
    memory = four.memory
    assert (memory.weights, memory.gradients, memory.optimizer, memory.average) == (2, 2, 5, 2)
    assert (memory.data, memory.kept, four.update) == (5, 0, 2.5e14) and four.step_seconds == pytest.approx(
        2.25e15 / 50e12
    )


def test_the_largest_share_of_a_batch_counts():
    assert projected(measured(), Machine(3, 100.0, 0.5, None)).examples == 3
    with pytest.raises(BadInput, match="more than the 8 examples"):
        projected(measured(), Machine(9, 100.0, 0.5, None))


def test_numbers_have_units():
    assert [flops(999), flops(1234567), flops(5e15)] == ["999 FLOP", "1.23 MFLOP", "5 PFLOP"]
    assert [duration(seconds) for seconds in (0.123, 42.4, 200, 3600 * 5 + 600, 86400 * 3 + 3600 * 5)] == [
        "0.12 s",
        "42 s",
        "3 min 20 s",
        "5 h 10 min",
        "3 d 5 h",
    ]
