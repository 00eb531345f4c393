"""What prepared pictures show, attribute by attribute, and which compositions of it are new to training."""

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from quartet.artifacts.paths import ATTRIBUTE


@dataclasses.dataclass(frozen=True)
class Attributes:
    """The attributes of some pictures.

    Attributes:
        values: the values that each attribute can have, by its name.
        parts: which attributes belong together, by the name of the part, such as a style; those that are in no part
            are each a part of their own.
    """

    values: Mapping[str, Sequence[str]]
    parts: Mapping[str, Sequence[str]]

    @property
    def names(self) -> list[str]:
        """The names of all attributes, in the order of the columns of `read`."""
        return list(self.values)

    def read(self, path: Path) -> Tensor:
        """The number of each attribute's value in the table at `path`: `(pictures, attributes)` int64."""
        numbers = {name: {value: place for place, value in enumerate(values)} for name, values in self.values.items()}
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return torch.tensor([[numbers[name][row[f"{ATTRIBUTE}{name}"]] for name in self.names] for row in rows])

    def split(self, logits: Tensor) -> tuple[Tensor, ...]:
        """The logits of each attribute, of `(batch, values of all attributes)`."""
        return logits.split([len(values) for values in self.values.values()], dim=1)

    def columns(self, part: str) -> list[int]:
        """The columns of the attributes of a part."""
        return [self.names.index(name) for name in self.parts[part]]

    def unseen_compositions(self, known: Tensor, asked: Tensor) -> Tensor:
        """Which rows combine parts that all are among the `known` rows, but not in this combination: `(asked,)` bool.

        `known` and `asked` are `(pictures, attributes)`.
        """
        unseen = ~_are_among(known, asked)
        for part in self.parts:
            columns = self.columns(part)
            unseen &= _are_among(known[:, columns], asked[:, columns])
        return unseen


def _are_among(rows: Tensor, asked: Tensor) -> Tensor:
    known = set(map(tuple, rows.tolist()))
    return torch.tensor([tuple(row) in known for row in asked.tolist()])


def attributes_of(info: Mapping) -> Attributes:
    """The attributes of the pictures that `info.json` describes; it may have none."""
    values, parts = info.get("attributes", {}), dict(info.get("compositions", {}))
    inside = {name for names in parts.values() for name in names}
    return Attributes(values, {**parts, **{name: [name] for name in values if name not in inside}})
