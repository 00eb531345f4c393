"""Temperature scaling (Guo et al. 2017): one number makes a classifier's probabilities mean what they say.

Logits are divided by the temperature before the softmax. It is fitted to the validation split after training, changes
no answer, and stands in the model's card.
"""

from collections.abc import Mapping

from torch import Tensor

RANGE = (0.01, 100.0)  # of the inverse temperature
HALVINGS = 60


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the smallest cross-entropy of `(examples, classes)` logits and `(examples,)` labels.

    Where nothing is wrong, that would be zero. Of n examples, each label therefore counts as (n + 1) / (n + 2), and the
    rest is spread over all classes (Platt 1999).

    The cross-entropy is convex in the inverse temperature; bisection finds where its slope is zero.
    """
    logits, count = logits.cpu().double(), len(labels)
    wrong = 1 / (count + 2)
    of_label = logits.gather(1, labels.cpu()[:, None])[:, 0]
    target = (1 - wrong) * of_label + wrong * logits.mean(dim=1)
    low, high = RANGE
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        expected = ((middle * logits).softmax(dim=1) * logits).sum(dim=1)
        if (expected - target).mean() < 0:
            low = middle
        else:
            high = middle
    return round(1 / (low * high) ** 0.5, 6)


def temperature_of(card: Mapping) -> float:
    """The temperature in a model's card; 1, which changes nothing, if none was fitted."""
    return card.get("calibration", {}).get("temperature", 1.0)
