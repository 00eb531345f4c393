"""The stages of the sequence family on a user's time series and on text."""

import json

import numpy as np
import pandas as pd
import pytest
from in_process import run

PARAMS = """
download: {{sequences: "{source}"}}
preprocess: {{sequences: {{vocabulary_size: 300}}}}
train_rnn: {{steps: {steps}, validate_every: 20, hidden_size: 16, layers: 1, cell: {cell}, pooling: {pooling}}}
"""


def rising_and_falling(path):
    """Series of 5 to 20 steps that rise or fall in one of two noisy columns."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(120):
        slope = 1 if number % 2 else -1
        for step in range(rng.integers(5, 20)):
            label = "rising" if slope > 0 else "falling"
            rows.append((f"s{number}", step, label, slope * step + rng.normal(), rng.normal()))
    pd.DataFrame(rows, columns=["series", "step", "label", "height", "noise"]).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("source", "steps", "cell", "pooling", "least"),
    [("csv:own.csv", 60, "mingru", "last", 0.9), ("docstring-topics", 3, "gru", "max", 0.0)],
)
def test_a_family_of_sequences_is_trained_and_scored(tmp_path, source, steps, cell, pooling, least):
    rising_and_falling(tmp_path / "own.csv")
    text = PARAMS.format(source=source, steps=steps, cell=cell, pooling=pooling)
    (tmp_path / "params.yaml").write_text(text)
    for stage in ("download", "preprocess"):
        run(tmp_path, f"stages.{stage}", "sequences")
    run(tmp_path, "stages.train_rnn")
    run(tmp_path, "stages.evaluate", "rnn")
    report = tmp_path / "reports/rnn"
    scores = json.loads((report / "metrics.json").read_text())
    assert scores["accuracy"] >= least and scores["baseline_macro_f1"] > 0.2
    written = {path.name for path in (report / "evaluation").iterdir()}
    assert {"early_knowledge.png", "hidden_states.png", "gradient_reach.png", "layers.csv"} <= written
    assert ("mistakes.txt" in written) == (source == "docstring-topics")
