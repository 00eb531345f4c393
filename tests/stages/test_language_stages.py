"""The stages of the language family with every architecture, and what people ask its models."""

import json

import pytest
from in_process import run
from real_text import REFERENCE

PARAMS = """
download: {{text: "file:own.txt"}}
preprocess: {{text: {{vocabulary_size: 400}}}}
train_lm: {{architecture: {architecture}, steps: 30, validate_every: 15, width: 32, layers: 1, heads: 2, context: 16}}
"""


@pytest.mark.parametrize("architecture", ["decoder", "encoder-decoder", "lstm", "gru"])
def test_an_architecture_is_trained_scored_and_asked(tmp_path, architecture):
    text = REFERENCE[:60_000]
    (tmp_path / "own.txt").write_text(text)
    (tmp_path / "params.yaml").write_text(PARAMS.format(architecture=architecture))
    for stage in ("download", "preprocess"):
        run(tmp_path, f"stages.{stage}", "text")
    run(tmp_path, "stages.train_lm")
    run(tmp_path, "stages.evaluate", "lm")
    report = tmp_path / "reports/lm"
    scores = json.loads((report / "metrics.json").read_text())
    assert 1 < scores["bits_per_byte"] < 7.9  # uniform bytes cost 8
    written = {path.name for path in (report / "evaluation").iterdir()}
    assert {"next_character.png", "cost_by_kind.csv", "cost_by_place.png", "neighbours.csv", "layers.csv"} <= written
    assert ("attention_heads.png" in written) == (architecture in ("decoder", "encoder-decoder"))

    asked = ("quartet", "generate", "the value", "--tokens", "20")
    assert run(tmp_path, *asked).startswith("the value") and run(tmp_path, *asked) == run(tmp_path, *asked)
    words = run(tmp_path, "quartet", "generate", "of the", "--next-words", "5").splitlines()
    assert run(tmp_path, "quartet", "generate", "of the ", "--next-words", "5").splitlines() == words
    assert len(words) == 5 and all("%" in line for line in words)
    if architecture == "encoder-decoder":
        filled = run(tmp_path, "quartet", "generate", "the ___ of the ___.", "--temperature", "0")
        assert filled.startswith("the ") and "___" not in filled
    else:
        assert "architecture=encoder-decoder" in run(tmp_path, "quartet", "generate", "a ___", code=2)

    if architecture == "decoder":
        (tmp_path / "own.txt").write_text(text.upper())
        for stage in ("download", "preprocess"):
            run(tmp_path, f"stages.{stage}", "text")
        assert "was not trained on the data that is now in" in run(tmp_path, "stages.evaluate", "lm", code=1)
        run(tmp_path, *asked)  # with its own tokenizer
