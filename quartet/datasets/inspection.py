"""What a look at a user's data finds, in one form for all families."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from quartet.datasets.splits import SPLITS


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What the pipeline would read from a user's data.

    Attributes:
        facts: what there is to know of the whole, a short text by its name.
        counts: how much is in each split, by class or by what is counted.
        splits: the report on the splits, as `info.json` holds it.
        left_out: what is not read, by reason.
        notes: what else the user should know, a sentence each.
    """

    facts: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]
    splits: Mapping
    left_out: Mapping[str, Sequence[str]]
    notes: Sequence[str]


def counts_by_class(report: Mapping, classes: Sequence[str], what: str) -> dict[str, dict[str, int]]:
    """How many examples of each class a report on splits counts, and how many `what` there are in all."""
    each = {name: {split: report["classes"][split][label] for split in SPLITS} for label, name in enumerate(classes)}
    return {**each, f"all {what}": {split: sum(report["classes"][split]) for split in SPLITS}}


def spread(numbers: ArrayLike) -> str:
    """The smallest and the largest of some whole numbers, and their median."""
    each = np.asarray(numbers)
    if each.min() == each.max():
        return f"{each.min():,}"
    return f"{each.min():,} to {each.max():,}, median {np.median(each):,.0f}"
