"""Numbers that go wrong are noticed and said; a training goes back if it is told to; learning nothing is said."""

import dataclasses
import json

import pytest
import torch
from family_plans import PLANS, trained
from in_process import run as run_script
from saved_states import generations, lose_a_tensor, reseal
from small_training import CPU, SETTINGS, in_order, run, same, task_of

from quartet.training import checkpoints, state, watching
from quartet.training.checkpoints import Checkpoint, NoCheckpoint
from quartet.training.loop import train
from quartet.training.task import Chance

# Diverges within ten steps, also with half the rate, but not with a quarter of it.
HUGE = dataclasses.replace(SETTINGS, optimizer="sgd", learning_rate=0.2, clip=0.0, ema=0.0, warmup=0.0)
BACK, ON = (dataclasses.replace(settings, on_divergence="rollback") for settings in (HUGE, SETTINGS))


@pytest.fixture(params=["at once", "behind"])
def device(request, monkeypatch):
    """Numbers are known at once, as on a CPU, or looked at from time to time, as on a GPU."""
    if request.param == "behind":
        monkeypatch.setattr(watching, "knows_at_once", lambda device: False)
        monkeypatch.setattr(watching, "LOOK_SECONDS", 0.0)


def spoiled(task, *steps, times=10**9):
    """The same task with a NaN in the inputs of these steps' batches, so many times."""
    batch_of, examples_at, left = task.batch_of, task.examples_at, [times]

    def spoil(number, generator):
        inputs, targets = batch_of((), generator)
        if number[0].item() in steps and left[0]:
            left[0] -= 1
            inputs[3, 2] = torch.nan
        return inputs, targets

    def numbered(number):
        examples_at(number)
        return (torch.tensor(number),)

    return dataclasses.replace(task, examples_at=numbered, batch_of=spoil)


@pytest.fixture
def cliff(monkeypatch):
    """A task whose sixth step only a small learning rate survives."""
    rates, step, set_learning_rate = [], [], state.set_learning_rate

    def noted(optimizers, rate):
        rates.append(rate)
        set_learning_rate(optimizers, rate)

    def task(at_step):
        def note(number):
            step.append(number)
            at_step(number)

        plain = task_of(0, at_step=note)

        def falls(network, batch):
            loss = plain.loss_of(network, batch)
            return loss * torch.inf if step[-1] == 5 and network.training and rates[-1] > 0.009 else loss

        return dataclasses.replace(plain, loss_of=falls)

    monkeypatch.setattr(state, "set_learning_rate", noted)
    return task


def test_a_training_that_diverges_stops_and_names_step_and_settings(home, device, always):
    checkpoint = Checkpoint("stage", {"key": "huge"})
    with pytest.raises(FloatingPointError) as error:
        train(task_of(0, steps=24), HUGE, seed=0, device=CPU, checkpoint=checkpoint)
    assert "the validation loss is not finite at step 4: lower learning_rate (0.2), raise warmup or set clip" in str(
        error.value
    )
    assert "on_divergence: rollback" in str(error.value)
    checkpoint.close(finished=False)
    saved = checkpoints.load_tensors(generations(checkpoint.folder)[-1] / "state.safetensors")
    assert all(tensor.isfinite().all() for tensor in saved.values())


@pytest.mark.parametrize(("settings", "what"), [(BACK, "gradient norm"), (SETTINGS, "loss")])
def test_what_was_not_finite_is_named(home, device, settings, what):
    task = task_of(0)
    if what == "loss":
        task = dataclasses.replace(task, loss_of=lambda network, batch: network(batch[0]).sum() * torch.nan)
    else:
        task = dataclasses.replace(task, loss_of=lambda network, batch: (network(batch[0]).sum() * 0).sqrt())
    with pytest.raises(FloatingPointError, match=f"the {what} is not finite at step 1"):
        run(task, settings)


def test_going_back_gives_the_bytes_of_a_smaller_rate_from_there_on(home, device, capsys):
    """Two rollbacks to the start: the first validation's loss, of millions, is none to go back to."""
    quarter = run(task_of(0, steps=24), dataclasses.replace(HUGE, learning_rate=0.05))
    capsys.readouterr()
    outcome = run(task_of(0, steps=24), BACK)
    said = [line for line in capsys.readouterr().out.splitlines() if "back to step 0" in line]
    assert "not finite at step 4" in said[0] and "rollback 1 of at most 3" in said[0] and len(said) == 2
    assert outcome.rollbacks == 2 and same(outcome.weights, quarter.weights) and outcome.kept == quarter.kept
    assert in_order(outcome) == [[*row, ("rollbacks", 2)] for row in in_order(quarter)]


def test_a_training_that_goes_back_in_vain_stops(home, device):
    with pytest.raises(FloatingPointError, match=r"also after 3 rollbacks, each with half .*: lower learning_rate"):
        run(task_of(0), dataclasses.replace(BACK, learning_rate=10.0))


@pytest.mark.parametrize("how", ["stop", "rollback"])
def test_a_batch_that_is_not_finite_is_the_datas_fault(home, device, how):
    settings = dataclasses.replace(SETTINGS, on_divergence=how)
    with pytest.raises(FloatingPointError, match="step 6: its batch has numbers that are not finite; look for NaN"):
        run(spoiled(task_of(0), 5), settings)


def test_a_training_goes_back_to_its_last_validation(home, device, capsys):
    settings = ON
    outcome = run(spoiled(task_of(0), 5, times=1), settings)
    assert "step 6: back to step 4" in capsys.readouterr().out
    undisturbed = run(task_of(0))
    assert in_order(outcome)[0] == [*in_order(undisturbed)[0], ("rollbacks", 0)]
    rates, usual = ([row["learning_rate"] for row in each.history] for each in (outcome, undisturbed))
    assert rates == [usual[0], usual[1] / 2, usual[2] / 2] and [row["rollbacks"] for row in outcome.history] == [
        0,
        1,
        1,
    ]


@pytest.mark.parametrize("going", ["back to the start", "back to a validation"])
def test_a_training_that_went_back_is_resumed_to_the_same_bytes_after_a_kill_at_any_step(home, always, cliff, going):
    """Also before it goes back, and where it has just done so: a step that it repeats is another call."""
    calls = []

    def count(number):
        calls.append(number)
        if len(calls) == kill:
            raise MemoryError

    def start(key):
        task, settings = (task_of(0, at_step=count), BACK) if going == "back to the start" else (cliff(count), ON)
        calls.clear()
        checkpoint = Checkpoint("stage", {"key": key})
        try:
            return train(task, settings, seed=0, device=CPU, checkpoint=checkpoint)
        finally:
            checkpoint.close(finished=False)

    kill = 0
    whole = start("whole")
    assert whole.rollbacks == (2 if going == "back to the start" else 1)
    for kill in range(2, len(calls) + 1, 3):
        with pytest.raises(MemoryError):
            start(kill)
        key, kill = kill, 0
        resumed = start(key)
        assert same(whole.weights, resumed.weights) and in_order(whole) == in_order(resumed), key
        assert resumed.rollbacks == whole.rollbacks


STAGE = """
train_diffusion:
  {steps: 8, validate_every: 3, width: 8, text_width: 16, text_heads: 2, optimizer: sgd, learning_rate: 0.5, clip: 0.0,
    warmup: 0.0, ema: 0.0, on_divergence: ON_DIVERGENCE}
"""


def test_a_stage_that_went_back_says_so_in_its_card_and_history_and_one_that_stops_leaves_nothing(tmp_path):
    (tmp_path / "params.yaml").write_text(STAGE.replace("ON_DIVERGENCE", "stop"))
    for stage, item in (("download", "weights"), ("download", "images"), ("preprocess", "images")):
        run_script(tmp_path, f"stages.{stage}", item)
    assert "the loss is not finite at step 6: lower" in run_script(tmp_path, "stages.train_diffusion", code=1)
    assert not (tmp_path / "models/diffusion").exists()
    (tmp_path / "params.yaml").write_text(STAGE.replace("ON_DIVERGENCE", "rollback"))
    assert "rollback 1 of at most 3" in run_script(tmp_path, "stages.train_diffusion")
    card = json.loads((tmp_path / "models/diffusion/card.json").read_text())
    history = (tmp_path / "reports/diffusion/training.csv").read_text().splitlines()
    assert card["training"]["rollbacks"] == 1
    assert history[0].endswith(",rollbacks") and all(row.endswith(",1") for row in history[1:])


def lose_the_values(generation):
    values = json.loads((generation / "progress.json").read_text())
    del values["good"]["step"]
    (generation / "progress.json").write_text(json.dumps(values))
    reseal(generation, "progress.json")


@pytest.mark.parametrize("damage", [lose_a_tensor("good.network."), lose_a_tensor("sum.first"), lose_the_values])
def test_a_checkpoint_without_a_whole_state_to_go_back_to_is_damaged(home, always, capsys, damage):
    def die(number):
        if number == 7:
            raise MemoryError

    settings = ON
    checkpoint = Checkpoint("stage", {"key": "good"})
    with pytest.raises(MemoryError):
        train(task_of(0, at_step=die), settings, seed=0, device=CPU, checkpoint=checkpoint)
    checkpoint.close(finished=False)
    damage(generations(checkpoint.folder)[-1])
    resumed = run(task_of(0), settings, key="good")
    assert "is removed, since it is damaged" in capsys.readouterr().out
    assert same(resumed.weights, run(task_of(0)).weights) and not resumed.rollbacks


def test_what_goes_wrong_behind_python_is_noticed_between_validations(home, monkeypatch):
    monkeypatch.setattr(watching, "knows_at_once", lambda device: False)
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.0)
    seen = []
    task = spoiled(task_of(0, steps=1000, at_step=seen.append), 5)
    with pytest.raises(FloatingPointError, match="step 6: its batch"):
        train(dataclasses.replace(task, validate_every=1000), SETTINGS, seed=0, device=CPU, checkpoint=NoCheckpoint())
    assert max(seen) < 10


def test_each_part_of_a_state_is_looked_at():
    for part, words in watching.PARTS.items():
        tensors = {"network.a": torch.zeros(3), f"{part}.b": torch.tensor([0.0, torch.inf]), "network.c": torch.ones(1)}
        assert watching.what_is_not_finite(tensors) == words
    assert watching.what_is_not_finite({"network.a": torch.zeros(3), "average.n": torch.tensor(3)}) is None


FLAT = dataclasses.replace(SETTINGS, learning_rate=1e-7)


RISES = dataclasses.replace(SETTINGS, learning_rate=10.0)


@pytest.mark.parametrize(("settings", "advice"), [(FLAT, "raise"), (RISES, "lower"), (SETTINGS, None)])
def test_a_loss_that_does_not_fall_is_said_once(home, capsys, settings, advice):
    run(dataclasses.replace(task_of(0, steps=200), validate_every=100), settings)
    said = capsys.readouterr().out
    assert said.count("the training loss has not fallen in the first tenth of the steps") == (advice is not None)
    assert advice is None or f"at step 20; {advice} learning_rate" in said


def test_a_loss_that_does_not_move_is_said_after_a_resume_too(home, capsys, always):
    def die(number):
        if number == 17:
            raise MemoryError

    checkpoint = Checkpoint("stage", {"key": "flat"})
    with pytest.raises(MemoryError):
        train(task_of(0, steps=200, at_step=die), FLAT, seed=0, device=CPU, checkpoint=checkpoint)
    checkpoint.close(finished=False)
    with pytest.MonkeyPatch.context() as seldom:
        seldom.setattr(Checkpoint, "is_due", lambda checkpoint, *, good_moment=False: False)
        run(task_of(0, steps=200), FLAT, key="flat")
        resumed = capsys.readouterr().out
        run(task_of(0, steps=200), FLAT)
    whole = [line for line in capsys.readouterr().out.splitlines() if "has not fallen" in line]
    assert "resuming from step 17" in resumed and len(whole) == 1
    assert [line for line in resumed.splitlines() if "has not fallen" in line] == whole


@pytest.mark.parametrize(("chance", "warned"), [(Chance("zero", -1e-9), True), (Chance("zero", -1e9), False)])
def test_a_score_at_chance_level_is_said(home, capsys, chance, warned):
    run(dataclasses.replace(task_of(0), chance=lambda: chance))
    assert ("is at chance level: zero scores" in capsys.readouterr().out) == warned


@pytest.mark.parametrize("plan_of", PLANS.values(), ids=list(PLANS))
def test_each_family_says_that_an_untrained_network_is_at_chance_level(family_data, home, capsys, plan_of):
    trained(plan_of, family_data, learning_rate=1e-9, steps=1)
    assert "is at chance level" in capsys.readouterr().out
