"""A classifier's answers in words: the likeliest class, and how probable each is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor


@dataclass(frozen=True)
class Answer:
    """The likeliest class, and the probability of every class, the likeliest first."""

    name: str
    probabilities: Mapping[str, float]

    @property
    def probability(self) -> float:
        """Of the likeliest class."""
        return self.probabilities[self.name]


def answers_of(logits: Tensor, classes: Sequence[str]) -> list[Answer]:
    """`(batch, classes)` logits in words."""
    found = []
    for row in logits.cpu().double().softmax(dim=1):
        order = row.argsort(descending=True).tolist()
        found.append(Answer(classes[order[0]], {classes[label]: row[label].item() for label in order}))
    return found


def as_table(answers: Sequence[Answer]) -> pd.DataFrame:
    """`class`, `probability` and `probabilities`, a row per answer: what a served classifier sends."""
    rows = [(answer.name, answer.probability, dict(answer.probabilities)) for answer in answers]
    return pd.DataFrame(rows, columns=["class", "probability", "probabilities"])
