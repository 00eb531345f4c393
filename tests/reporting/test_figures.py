"""The figures stay legible with many classes and with long names."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from quartet.classification import report
from quartet.classification.scores import confusion_counts
from quartet.images.sources.class_names import DIGITS, TRAFFIC_SIGNS
from quartet.reporting.classification_figures import confusion_figure
from quartet.reporting.drawing.figures import learning_curves, save_figure
from quartet.reporting.image_sheets import attention_sheet, image_sheet

LONG = ["x" * 60 + "y" * 60, "no finding", "adenocarcinoma of the cervix uteri, biopsy specimens"]


def drawn(figure):
    figure.savefig(io.BytesIO(), format="png")
    return figure


def confusion(classes, each=60):
    """All right, but for one of the first class, which is taken for the last."""
    actual = np.repeat(np.arange(len(classes)), each)
    predicted = actual.copy()
    predicted[0] = len(classes) - 1
    return drawn(confusion_figure(confusion_counts(actual, predicted, classes), "a title"))


@pytest.mark.parametrize("classes", [DIGITS, TRAFFIC_SIGNS, [f"class {n}" for n in range(100)]], ids=len)
def test_one_mistake_in_sixty_is_seen_and_the_names_can_be_read(classes):
    axes = confusion(classes).axes[0]
    counts = {text.get_position(): text for text in axes.texts}
    assert counts[len(classes) - 1, 0].get_text() == "1" and counts[0, 0].get_text() == "59"
    assert min(text.get_fontsize() for text in axes.texts) >= 6
    assert min(label.get_fontsize() for label in axes.get_yticklabels()) >= 8
    colours = axes.images[0].to_rgba(axes.images[0].get_array(), bytes=True).astype(int)
    assert np.abs(colours[0, -1] - colours[0, 1]).sum() >= 30  # of 765


@pytest.mark.parametrize("each", [150, 1000])
def test_large_counts_of_a_hundred_classes_can_be_read(each):
    texts = confusion([f"class {n}" for n in range(100)], each).axes[0].texts
    assert {text.get_text() for text in texts} == {str(each), str(each - 1), "1"}
    assert min(text.get_fontsize() for text in texts) >= 6


def test_the_confusion_matrix_of_very_many_classes_stays_a_picture():
    assert max(confusion([f"class {n}" for n in range(500)], 100).get_size_inches()) < 20


@pytest.mark.parametrize("classes", [DIGITS, TRAFFIC_SIGNS, LONG, LONG[:2], ["a", "b"]], ids=len)
def test_names_leave_the_confusion_matrix_its_room_and_do_not_overlap(classes):
    figure = confusion(classes)
    axes = figure.axes[0]
    assert axes.get_window_extent().width / figure.dpi >= 2.5  # inches
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert max(len(label.get_text()) for label in labels) <= 30
        upright = [label for label in labels if label.get_rotation() in (0, 90)]  # a slanted one's box says little
        for first, second in itertools.pairwise(label.get_window_extent() for label in upright):
            assert not first.overlaps(second)


def captions_of(figure):
    captions = [axes.title for axes in drawn(figure).axes if axes.get_title()]
    boxes = [caption.get_window_extent() for caption in captions]
    assert not any(first.overlaps(second) for first, second in itertools.combinations(boxes, 2))
    for box, other in itertools.product(boxes, figure.axes):
        assert not box.overlaps(other.get_window_extent().shrunk(0.98, 0.98))
    return [caption.get_text() for caption in captions]


def test_long_names_do_not_run_over_each_other_over_the_mistakes(tmp_path, monkeypatch):
    sheets = []
    monkeypatch.setattr(report, "save_figure", lambda figure, path: sheets.append(figure))
    names = sorted(TRAFFIC_SIGNS, key=len)[-12:]
    labels = torch.arange(12)
    logits = torch.eye(12).roll(1, dims=1) * torch.arange(12, 0, -1)[:, None]  # each taken for the next
    report.report_mistakes(tmp_path, torch.zeros(12, 3, 8, 8, dtype=torch.uint8), logits, labels, names)
    captions = captions_of(sheets[0])
    assert len(captions) == 10 and captions[0] == f"{names[0]},\nnot {names[1]}"


def test_long_names_do_not_run_over_each_other_on_the_grad_cam_sheet():
    images, seen = np.zeros((12, 3, 8, 8)), np.zeros((12, 8, 8))
    names = sorted(TRAFFIC_SIGNS, key=len)[-12:]
    captions = captions_of(attention_sheet(images, seen, names))
    assert len(captions) == 12 and captions[0] == names[0]
    assert captions[-1].startswith("end of no") and "…" in captions[-1] and captions[-1].endswith("by trucks")


def test_the_score_of_the_kept_weights_is_marked():
    scores = {"training_loss": 1.0, "validation_loss": 1.0, "validation_score": [0.5, 0.9, 0.8, 0.7]}
    _, axes = learning_curves(pd.DataFrame({"step": [10, 20, 30, 40], **scores}), kept_step=30).axes
    assert [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o"] == [[[30, 0.8]]]
    assert "0.8000" in axes.get_title()


def test_a_title_may_hold_dollar_signs(tmp_path):
    save_figure(image_sheet(np.zeros((1, 1, 1, 8, 8)), ["a"], title="Images of folder:a $_$ b"), tmp_path / "sheet.png")


def test_captions_of_one_line_fit_small_images():
    told = [[f"t = {place / 8:.2f}" for place in range(8)], [""] * 8]
    assert captions_of(image_sheet(np.zeros((2, 8, 1, 8, 8)), ["a", "b"], told, "a title")) == told[0]
