"""How the text-to-image benchmark chooses how to draw, and its table."""

import pandas as pd
import pytest

from benchmarks import diffusion


@pytest.mark.parametrize(("enough", "chosen"), [(1.0, 0), (1.1, 2), (1.25, 3), (2.5, 6), (9.0, 6)])
def test_the_weakest_guidance_that_is_faithful_by_a_standard_error_is_taken(monkeypatch, enough, chosen):
    def fidelity(judge, pictures, labels):
        # The standard error of 0.9975 is 0.001 for 2,500 pictures, of 0.9955 it is 0.0013.
        return 0.9975 if pictures >= enough else 0.9955

    monkeypatch.setattr(diffusion, "judge_of", lambda folder: None)
    monkeypatch.setattr(diffusion, "fidelity", fidelity)
    drawn = []

    def draw(choice, count):
        drawn.append(choice)
        return choice["guidance"], count

    choice = diffusion.weakest_faithful_choice(None, draw, 2500)
    assert choice == diffusion.CHOICES[chosen]
    assert len(drawn) <= 3


def test_the_table_has_an_arm_per_column():
    table = pd.DataFrame([{"arm": "ours", "parameters": 1_234_567}, {"arm": "theirs", "parameters": 4_400_000}])
    assert diffusion.summary(table).splitlines() == [
        "| | ours | theirs |",
        "|---|---|---|",
        "| parameters | 1,234,567 | 4,400,000 |",
    ]
