"""A sharded training is that of one process, holds a part of it in each, and goes on in any number of processes."""

import json
import os
import signal

import pytest
import torch
from family_plans import CPU, language_plan, trained
from processes import together
from real_text import REFERENCE

from quartet.artifacts.fetching import Fetching
from quartet.artifacts.stop_requests import Interrupted
from quartet.artifacts.writing import write_json
from quartet.language.preparation import prepare_text
from quartet.language.settings import PreprocessText
from quartet.language.sources import download_text
from quartet.training.checkpoints import Checkpoint
from quartet.training.parallel.layers import share_layers
from quartet.training.state import TrainingState

STEADY = {"optimizer": "sgd", "learning_rate": 0.05, "steps": 6, "validate_every": 2}  # Adam would amplify rounding
SHARDED = {"shard": True, "layers": 2, "width": 24, "ema": 0.9}
TRAININGS = {
    "sgd": {**STEADY, "dropout": 0.1, "clip": 0.1, "accumulate": 2},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.001, "steps": 4, "validate_every": 2},
    "no-average": {**STEADY, "ema": 0.0, "clip": 0.0},
    "holes": {**STEADY, "architecture": "encoder-decoder", "dropout": 0.1, "context": 32},
}


def results(data, settings):
    """The history and the kept weights."""
    outcome = trained(language_plan, data, **settings)
    return outcome.history, {name: weight.numpy() for name, weight in outcome.weights.items()}


def check_alike(found, expected):
    for row, other in zip(found[0], expected[0], strict=True):
        assert row == pytest.approx(other, rel=2e-4, abs=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, weight in expected[1].items():
        assert found[1][name] == pytest.approx(weight, rel=1e-2, abs=2e-4), name


@pytest.mark.parametrize("name", TRAININGS)
def test_a_sharded_training_is_that_of_one_process(family_data, capsys, name):
    settings = {**SHARDED, **TRAININGS[name]}
    expected = results(family_data, settings)
    assert "train_lm.shard: not used by one process" in capsys.readouterr().out
    first, second = together(2, results, family_data, settings)
    assert first[0] == second[0], "the processes differ"
    assert not second[1], "only the first process keeps weights"
    check_alike(first, expected)


def bytes_held(data, settings):
    """Bytes of this process's weights, gradients, optimizer state and averaged weights, after a step."""
    chosen, plan = language_plan(data, CPU, **settings)
    share_layers(plan.task.network)
    state = TrainingState(plan.task, chosen, seed=0, device=CPU)
    state.take_step()
    own = state.held.own(state._tensors())
    gradients = {name: weight.grad for name, weight in state.held.network.named_parameters()}
    held = [*own.values(), *state.held.own(gradients).values(), *plan.task.network.parameters()]
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in held}.values())


def test_each_of_two_processes_holds_half(family_data):
    settings = {**SHARDED, "optimizer": "adamw"}
    whole = bytes_held(family_data, settings)
    for held in together(2, bytes_held, family_data, settings):
        assert held == pytest.approx(whole / 2, rel=0.02)


def test_a_sharded_translator_is_that_of_one_process(tmp_path):
    lines = [line for line in REFERENCE[:6000].splitlines() if line.strip()]
    pairs = [{"source": line, "target": line[::-1]} for line in lines]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    raw = tmp_path / "raw"
    write_json(raw / "manifest.json", download_text(f"pairs:{tmp_path / 'own.jsonl'}", Fetching(), raw))
    prepare_text(raw, tmp_path / "text", PreprocessText(vocabulary_size=300))
    settings = {**SHARDED, **TRAININGS["holes"], "context": 64}
    expected = results(tmp_path, settings)
    check_alike(together(3, results, tmp_path, settings)[0], expected)


def stopped(data, folder, settings):
    """Train until a signal to the last process; returns nothing."""

    def stop(row):
        if row["step"] == 4 and (not torch.distributed.is_initialized() or torch.distributed.get_rank()):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        gone_on(data, folder, settings, stop)


def gone_on(data, folder, settings, on_validation=lambda row: None):
    """Train, from a checkpoint if there is one; the first process saves them."""
    os.environ["DVC_ROOT"] = str(folder)
    is_first = not torch.distributed.is_initialized() or not torch.distributed.get_rank()
    checkpoint = Checkpoint("stage", {}) if is_first else None
    outcome = trained(language_plan, data, checkpoint=checkpoint, on_validation=on_validation, **settings)
    return outcome.history, {name: weight.numpy() for name, weight in outcome.weights.items()}, outcome.processes


def test_a_checkpoint_is_whole_and_fits_any_number_of_processes(family_data, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    settings = {**SHARDED, **STEADY, "optimizer": "adam", "learning_rate": 0.001}
    expected = results(family_data, settings)
    together(2, stopped, family_data, tmp_path / "two", settings)
    stopped(family_data, tmp_path / "one", settings)
    check_alike(gone_on(family_data, tmp_path / "two", settings), expected)
    for found in together(2, gone_on, family_data, tmp_path / "one", settings)[:1]:
        check_alike(found, expected)
