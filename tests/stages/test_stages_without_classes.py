"""The stages on pictures that have captions, but no classes: classifiers say so, and the report is written."""

import contextlib
import csv
import json
import time

import pytest
from in_process import run
from own_pictures import draw

from quartet.artifacts.model_store import read_card
from quartet.families import FAMILIES
from quartet.reporting.page.html_report import write_report

PARAMS = """
download: {{images: "folder:{own}"}}
preprocess: {{images: {{validation: 0.45}}}}
train_diffusion: {{steps: 4, validate_every: 4, width: 8, text_width: 16}}
evaluate:
  {{diffusion: {{images: 40, swept_images: 20, steps: 2, classifiers: 2, classifier_steps: 10}}}}
"""
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def captioned(tmp_path_factory):
    """A folder with prepared pictures of noise that have two captions each."""
    folder = tmp_path_factory.mktemp("captioned")
    own = folder / "own"
    for number in range(60):
        draw(own / f"{number}.png", "L", (8, 8), seed=number)
    with (own / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption"])
        for number in range(60):
            colour = COLOURS[number % 3]
            writer.writerows([[f"{number}.png", f"a {colour} picture, {number}"], [f"{number}.png", f"{colour} noise"]])
    (folder / "params.yaml").write_text(PARAMS.format(own=own))
    for item in ("images", "sequences"):
        run(folder, "stages.download", item)
        run(folder, "stages.preprocess", item)
    return folder


@pytest.mark.parametrize("family", ["cnn", "rnn"])
def test_classifiers_pass_in_a_moment_and_say_that_there_are_no_classes(captioned, family):
    begun = time.monotonic()
    told = run(captioned, f"stages.train_{family}")
    run(captioned, "stages.evaluate", family)
    assert time.monotonic() - begun < 10 and "no classes to tell apart" in told
    card = read_card(captioned / "models" / family)
    assert card["network"] == {"name": "no-classes"} and card["data"]["classes"] == []
    report = captioned / "reports" / family
    scores = json.loads((report / "metrics.json").read_text())
    assert scores["classes"] == 0 and scores["test_examples"] == 12
    assert (report / "confusion.csv").read_text().splitlines()[1] == "no classes,no classes"
    assert "no classes" in (report / "confusion_matrix.csv").read_text()
    warnings = json.loads((report / "evaluation/data.json").read_text())["warnings"]
    assert any("no classes to tell apart" in warning for warning in warnings)
    assert (report / "confusion.png").stat().st_size > 1000


def test_a_classifier_of_no_classes_is_not_asked(captioned):
    told = run(captioned, "quartet", "classify", captioned / "own/0.png", code=2)
    assert "trained on pictures without classes" in told


def test_any_words_are_drawn(captioned):
    run(captioned, "stages.train_diffusion")
    card = read_card(captioned / "models/diffusion")
    assert card["network"]["merges"] and card["data"]["captions"]["train"] == 42
    run(captioned, "quartet", "draw", "a purple picture", "a red picture", "--count", "2", "--steps", "2")
    assert (captioned / "drawn.png").exists()


def test_pictures_without_classes_are_scored_by_retrieval(captioned):
    run(captioned, "stages.evaluate", "diffusion")
    report = captioned / "reports/diffusion"
    scores = json.loads((report / "metrics.json").read_text())
    assert {"fid_ratio", "variance_ratio", "copy_rate", "copy_rate_test", "network_evaluations"} <= set(scores)
    for name in ("retrieval_top1", "retrieval_top1_real"):
        assert 0 <= scores[name] <= scores[name.replace("top1", "top5")] <= 1
    assert scores["classes"] == 0 and "fidelity" not in scores and scores["generated_images"] == 40
    assert "no classes" in (report / "confusion_matrix.csv").read_text()
    drawn = {path.name for path in (report / "evaluation").iterdir()}
    assert {"samples.png", "neighbours.png", "forward_process.png", "reverse_process.png", "animation.gif"} <= drawn


def test_the_report_says_that_there_are_no_classes(captioned):
    with contextlib.chdir(captioned):
        write_report(captioned / "index.html", [FAMILIES[key] for key in ("cnn", "rnn", "diffusion")])
    page = (captioned / "index.html").read_text()
    assert page.count("no classes to tell apart, so no classifier was trained") == 3
    assert "retrieval top1" in page
