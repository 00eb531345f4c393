"""The inputs that a user wants answers to, from a file or a folder."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from quartet.artifacts.errors import BadInput
from quartet.datasets.reading.tables import ENDINGS, read_table
from quartet.datasets.reading.text_files import lines_of


@dataclasses.dataclass(frozen=True)
class Question:
    """One input of a model.

    Attributes:
        name: what the table of answers calls it.
        read: returns the input itself, as the model takes it.
        label: the right answer; None if it is not known.
        text: the input, if it is text.
    """

    name: str
    read: Callable[[], Any]
    label: str | None = None
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Questions:
    """Inputs in the user's order; `kind` heads the column of their names: `file`, `series`, `row` or `line`."""

    kind: str
    questions: list[Question]


def text_questions(
    path: Path, columns: Sequence[str], label: str | None = None, *, verbatim: bool = False
) -> Questions:
    """The texts of a table, or of a text file with one on each line; blank lines are left out.

    `columns` are names of the table's column of texts, of which it has one; `label` is that of its labels, if any.
    White space around a text is removed, unless it is to be read `verbatim`.

    Raises:
        BadInput: the file cannot be read, has no text, or has none of the columns.
    """
    if not any(path.name.lower().removesuffix(packed).endswith(ENDINGS) for packed in ("", ".gz", ".zst")):
        lines = [(number, line.rstrip("\r\n")) for number, line in enumerate(lines_of(path), start=1) if line.strip()]
        texts = [(str(number), line if verbatim else line.strip(), "") for number, line in lines]
        kind = "line"
    else:
        table = read_table(path)
        found = [name for name in columns if name in table.data]
        if len(found) != 1:
            raise BadInput(
                f"{path}: has {'both columns' if found else 'no column'} {' and '.join(found or columns[:1])}; its "
                f"columns are {', '.join(table.columns)}"
            )
        labels = table.text(label).tolist() if label and label in table.data else [""] * len(table)
        cells = (table.verbatim if verbatim else table.text)(found[0]).tolist()
        texts = [(str(row), cell, name) for row, cell, name in zip(table.row_numbers(), cells, labels, strict=True)]
        kind = "row"
    if not texts:
        raise BadInput(f"{path}: has no text")
    return Questions(kind, [Question(name, _Given(text), label or None, text) for name, text, label in texts])


@dataclasses.dataclass(frozen=True)
class _Given:
    text: str

    def __call__(self) -> str:
        if not self.text.strip():
            raise BadInput("is empty")
        return self.text
