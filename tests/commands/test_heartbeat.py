"""Which trials are taken for vanished: Optuna and a database are real, and what a machine sees is told by hand."""

import time

import optuna
import pytest

from quartet.commands.search.heartbeat import SIGN, Watch

GRACE = 0.6


@pytest.fixture
def study(tmp_path):
    return optuna.create_study(storage=f"sqlite:///{tmp_path}/searches.db", study_name="rates")


def started(study, sign):
    trial = study.ask()
    if sign:
        trial.set_user_attr(SIGN, sign)
    return trial


def vanished(study, watch):
    return {trial.number for trial in study.trials if watch.has_vanished(trial)}


def look_for(watch, seconds, *others):
    """Look as the thread does, while other machines give signs of life."""
    for _ in range(round(seconds / GRACE * 6)):
        time.sleep(GRACE / 6)
        for other in others:
            other.give_sign()
        watch.look()


def test_a_trial_without_a_sign_of_life_has_vanished_and_one_with_them_has_not(study):
    watch, other = Watch(study, GRACE), Watch(study, GRACE)
    for sign in (other.first_sign(), None, {"count": 5, "grace": 100}):
        started(study, sign)
    living = started(study, other.first_sign())
    with other.following(living):
        watch.look()
        assert not vanished(study, watch)
        look_for(watch, 2 * GRACE, other)
    assert vanished(study, watch) == {0, 1}  # the third may be silent for longer
    living.set_user_attr(SIGN, {"count": 1000, "grace": GRACE})
    look_for(watch, GRACE / 2)
    assert vanished(study, watch) == {0, 1}
    look_for(watch, GRACE)
    assert vanished(study, watch) == {0, 1, 3}


def test_a_time_in_which_nobody_could_give_a_sign_does_not_count(study):
    watch = Watch(study, GRACE)
    started(study, watch.first_sign())
    watch.look()
    time.sleep(2 * GRACE)  # an outage of the database, or this machine stood still
    watch.look()
    assert not vanished(study, watch)


def test_a_trial_that_was_taken_up_gets_no_more_signs(study):
    watch = Watch(study, GRACE)
    trial = started(study, watch.first_sign())
    with watch:
        with watch.following(trial):
            while study.trials[0].user_attrs[SIGN]["count"] < 2:
                time.sleep(0.02)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            count = study.trials[0].user_attrs[SIGN]["count"]
            time.sleep(GRACE)
        second = started(study, watch.first_sign())
        with watch.following(second):
            while study.trials[1].user_attrs[SIGN]["count"] < 2:
                time.sleep(0.02)
    assert study.trials[0].user_attrs[SIGN]["count"] == count
