"""The weights of classes are scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.utils import compute_class_weight

from quartet.training.class_weights import class_weights


@pytest.mark.parametrize("counts", [[90, 9, 1], [5, 5], [3, 7, 11, 2]], ids=str)
def test_balanced_weights_are_scikit_learns(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    theirs = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    assert class_weights(torch.from_numpy(labels), len(counts), "balanced").tolist() == pytest.approx(theirs)


def test_a_class_without_training_examples_has_weight_zero():
    assert class_weights(torch.tensor([0, 0, 0, 2]), 4, "balanced").tolist() == pytest.approx([4 / 6, 0, 2, 0])


def test_none_is_no_weights():
    assert class_weights(torch.tensor([0, 1]), 2, "none") is None
