"""A classifier's answers: the most probable class, and the probability of each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor


@dataclass(frozen=True)
class Answer:
    """The most probable class, and the probability of every class in descending order."""

    name: str
    probabilities: Mapping[str, float]

    @property
    def probability(self) -> float:
        """The probability of the most probable class."""
        return self.probabilities[self.name]


def answers_of(logits: Tensor, classes: Sequence[str], temperature: float = 1.0) -> list[Answer]:
    """Convert `(batch, classes)` logits to one answer per row; `temperature` is that of the model's card."""
    found = []
    for row in (logits.cpu().double() / temperature).softmax(dim=1):
        order = row.argsort(descending=True).tolist()
        found.append(Answer(classes[order[0]], {classes[label]: row[label].item() for label in order}))
    return found


def as_table(answers: Sequence[Answer]) -> pd.DataFrame:
    """The response of a served classifier: `class`, `probability` and `probabilities`, one row per answer."""
    rows = [(answer.name, answer.probability, dict(answer.probabilities)) for answer in answers]
    return pd.DataFrame(rows, columns=["class", "probability", "probabilities"])
