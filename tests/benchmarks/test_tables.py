"""The tables of the sequence, series, language and GPU benchmarks."""

import pandas as pd

from benchmarks import gpu, language, photos, sequences, series, translation


def test_rates_stand_beside_their_ratio_to_the_usual_loop():
    rates = [("usual LSTM", 100), ("usual LSTM", 300), ("usual LSTM", 200), ("mingru", 700), ("mingru", 500)]
    rates = pd.DataFrame([{"length": 28, "cell": cell, "steps_per_second": rate} for cell, rate in rates])
    points = [(0, 10.0, 0.98), (1, 14.0, 0.99)]
    points = [
        {"task": "rows", "arm": "one minute", "seed": seed, "examples": 640, "seconds": seconds, "accuracy": accuracy}
        for seed, seconds, accuracy in points
    ]
    lines = sequences.summary(rates, pd.DataFrame(points)).splitlines()
    assert "| mingru | 600 (3.00×) |" in lines
    assert "| rows | one minute | 2 | 640 | 12 s (at most 14) | 0.9850 ± 0.0071 |" in lines


def test_series_have_a_row_per_data_set_and_a_column_per_model():
    rows = [
        ("A", "ours", 0.9, 1.0),
        ("A", "ours", 1.0, 3.0),
        ("A", "MiniRocket", 0.8, 2.0),
        ("A", "MiniRocket", 0.8, 2.0),
    ]
    table = pd.DataFrame(rows, columns=["data", "model", "score", "seconds"])
    lines = series.markdown(table).splitlines()
    assert lines[0] == "| data | ours | MiniRocket |"
    assert lines[2] == "| A | 0.9500 ± 0.0707, 2.0 s | 0.8000 ± 0.0000, 2.0 s |"


def test_each_language_arm_tells_where_it_ended():
    table = pd.DataFrame(
        [
            {"arm": language.RECIPE, "tokens": 768, "seconds": 50.0, "nats": 2.5},
            {"arm": language.RECIPE, "tokens": 1536, "seconds": 100.0, "nats": 1.9},
        ]
    )
    text = language.summary(table, {language.RECIPE: 0.5}, {"cached": 900.0, "uncached": 300.0, "together": 2400.0})
    assert "| small-CPU recipe | 1,536 | 100 s | 15 | 0.50 GiB | 1.9000 |" in text.splitlines()
    assert "900 characters per second with the key-value cache, 300 without (3.0×), 2,400 of 16 texts" in text


def test_the_gpus_table_has_a_line_per_figure():
    rows = [gpu.table_row("MNIST: test accuracy", 1.234, 0.995123), gpu.table_row("pictures drawn: seconds", None, 2.9)]
    text = gpu.summary(pd.DataFrame(rows), "A card").splitlines()
    assert text[0].startswith("| A card |")
    assert text[2:] == ["| MNIST: test accuracy | 1.2 s | 0.99512 |", "| pictures drawn: seconds |  | 2.9 |"]


def test_photographs_have_a_row_per_arm():
    rows = [
        ("preset photos", 0.95, 60.0, 300.0, 60.0),
        ("preset photos", 0.97, 70.0, 310.0, 70.0),
        ("usual loop", 0.8, 60.0, 10.0, float("nan")),
    ]
    table = pd.DataFrame(rows, columns=["arm", "accuracy", "seconds", "examples_per_second", photos.SECONDS_TO_GOAL])
    assert photos.summary(table).splitlines()[2:] == [
        "| preset photos | 0.9600 ± 0.0141 | 65 | 305 | 65 |",
        "| usual loop | 0.8000 | 60 | 10 | not reached |",
    ]


def test_translators_stand_side_by_side_with_the_ratio_of_their_speeds():
    scores = {"seconds": 60.0, "bleu": 31.04, "chrf": 55.8, "beam_bleu": 33.0, "beam_chrf": 57.0, "memory": 1.5}
    rows = [
        {"arm": translation.OURS, **scores, "tokens_per_second": 3000.0, "sentences_per_second": 200.0},
        {"arm": translation.PEER, **scores, "tokens_per_second": 2000.0, "sentences_per_second": 50.0},
    ]
    lines = translation.summary(pd.DataFrame(rows)).splitlines()
    assert "| ours | 60 s | 3,000 | 31.0 | 55.8 | 33.0 | 57.0 | 200 | 1.50 GiB |" in lines
    assert lines[-1] == "Ours trains 1.50 and decodes 4.00 times as fast."
