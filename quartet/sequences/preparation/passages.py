"""Labelled texts from a table: a user's own, or scikit-learn's docstrings."""

import dataclasses
import hashlib
from collections.abc import Sequence

from quartet.datasets.reading.tables import Table
from quartet.datasets.splits import SPLITS, split_name


@dataclasses.dataclass(frozen=True)
class Passages:
    """Texts with their labels; `splits` and `groups` are None where the source does not say, `unused` are columns."""

    names: list[str]
    texts: list[str]
    labels: list[str]
    splits: list[str | None] | None = None
    groups: list[str | None] | None = None
    unused: Sequence[str] = ()

    def contents(self) -> list[bytes]:
        """A checksum of each text."""
        return [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in self.texts]


def passages_from_table(table: Table, *, text: str, label: str, split: str, group: str) -> Passages:
    """The passages of a table whose columns have these names, sorted by label and text; split and group may be absent.

    Raises:
        BadInput: a column is missing, or a cell is empty or no split; the message gives the row's number.
    """
    table.require(text, label)
    columns = {name: table.text(name) for name in (text, label, split, group) if name in table.data}
    for name in (text, label):
        table.refuse(columns[name] == "", name, "is empty")
    if split in columns:
        unknown = columns[split].map({name: split_name(name) is None for name in columns[split].unique()})
        table.refuse(unknown, split, f"is none of {', '.join(SPLITS)}", columns[split])
    cells = {name: column.tolist() for name, column in columns.items()}
    rows = list(table.row_numbers())
    order = sorted(range(len(rows)), key=lambda row: (cells[label][row], cells[text][row], rows[row]))
    return Passages(
        names=[f"row {rows[row]}" for row in order],
        texts=[cells[text][row] for row in order],
        labels=[cells[label][row] for row in order],
        splits=[split_name(cells[split][row]) for row in order] if split in cells else None,
        groups=[cells[group][row] or None for row in order] if group in cells else None,
        unused=[name for name in table.columns if name not in cells],
    )
