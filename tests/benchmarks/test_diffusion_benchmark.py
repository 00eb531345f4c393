"""How the text-to-image benchmark chooses how to draw, and its table."""

import math

import pandas as pd
import pytest

from benchmarks import diffusion


@pytest.mark.parametrize("enough", range(len(diffusion.CHOICES) + 1))
def test_the_weakest_choice_that_is_faithful_by_a_standard_error_is_taken(monkeypatch, enough):
    def fidelity(judge, pictures, labels):
        # The standard error of 0.9975 is 0.001 for 2,500 pictures, of 0.9955 it is 0.0013.
        return 0.9975 if pictures >= enough else 0.9955

    monkeypatch.setattr(diffusion, "judge_of", lambda folder, seed: None)
    monkeypatch.setattr(diffusion, "fidelity", fidelity)
    drawn = []

    def draw(choice, count):
        drawn.append(choice)
        return diffusion.CHOICES.index(choice), count

    choice = diffusion.weakest_faithful_choice(None, draw, 2500)
    assert choice == diffusion.CHOICES[min(enough, len(diffusion.CHOICES) - 1)]
    assert len(drawn) <= math.log2(len(diffusion.CHOICES)) + 1


def test_choices_become_stronger():
    strengths = [(choice["guidance"], choice["rejection"]) for choice in diffusion.CHOICES]
    assert strengths == sorted(strengths)


def test_the_table_has_an_arm_per_column():
    table = pd.DataFrame([{"arm": "ours", "parameters": 1_234_567}, {"arm": "theirs", "parameters": 4_400_000}])
    assert diffusion.summary(table).splitlines() == [
        "| | ours | theirs |",
        "|---|---|---|",
        "| parameters | 1,234,567 | 4,400,000 |",
    ]
