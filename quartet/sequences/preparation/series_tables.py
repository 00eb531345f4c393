"""Time series from a table: a row per step, with columns that name the series, the step and the label."""

import numpy as np
import pandas as pd

from quartet.artifacts.errors import BadInput
from quartet.datasets.reading.tables import NumberStyle, Table
from quartet.datasets.reading.time_series import TimeSeries
from quartet.datasets.splits import SPLITS, split_name
from quartet.sequences.settings import Columns


def series_from_table(table: Table, columns: Columns, style: NumberStyle, *, labelled: bool = True) -> TimeSeries:
    """Check the table and sort its rows by series and step.

    A column without a role in `columns` is a feature: a number per step. Series may differ in length. `labelled` says
    that each needs a label or a target; otherwise these may be empty, or NaN, and splits are not read.

    Raises:
        BadInput: a column is missing, or a row is malformed; the message gives the row's number.
    """
    table.require(columns.series, columns.step)
    if labelled and columns.target not in table.data:
        table.require(columns.label)
    if {columns.label, columns.target} <= set(table.data):
        raise BadInput(
            f"{table.path}: has a column {columns.label} and a column {columns.target}; a series has one or the other: "
            "remove one, or name other columns in preprocess.sequences.columns"
        )
    roles = {getattr(columns, role) for role in ("series", "step", "label", "target", "split", "group")}
    features = [name for name in table.columns if name not in roles]
    if not features:
        raise BadInput(f"{table.path}: has no feature, a column of numbers beside {', '.join(table.columns)}")
    steps = step_numbers(table, columns.step, style)
    codes, series_names, rows = series_and_steps(table, columns.series, columns.step, steps)
    per_series = _PerSeries(table, codes, rows[np.flatnonzero(np.diff(codes[rows], prepend=-1))])
    return TimeSeries(
        source=str(table.path),
        names=series_names,
        features=features,
        values=np.column_stack([table.numbers(name, style) for name in features])[rows],
        lengths=np.bincount(codes).astype(np.int64),
        labels=per_series.labels(columns.label, required=labelled),
        targets=per_series.targets(columns.target, style, required=labelled),
        splits=per_series.splits(columns.split) if labelled else None,
        groups=per_series.groups(columns.group),
    )


def series_and_steps(
    table: Table, series: str, step: str, steps: np.ndarray
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The number of the series of each row, the names of the series, and the rows in the order of series and steps.

    `series` and `step` are columns, and `steps` what `step_numbers` says of the latter.

    Raises:
        BadInput: a row has no series, or a step appears twice in one.
    """
    names = table.text(series)
    table.refuse(names == "", series, "is empty")
    codes, series_names = pd.factorize(names, sort=True)
    twice = pd.DataFrame({"series": codes, "step": steps}).duplicated()
    table.refuse(twice, step, "appears twice in its series", table.text(step))
    return codes, list(series_names), np.lexsort((steps, codes))


def step_numbers(table: Table, column: str, style: NumberStyle) -> np.ndarray:
    """The place of each row in its series: numbers, or times as nanoseconds.

    Raises:
        BadInput: a cell is neither, or is empty.
    """
    text = table.text(column)
    times = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    # Plain numbers can be read as years, so that times are what is no number.
    no_number = np.isnan(table.parsed(column, style))
    if 2 * (times.notna() & no_number).sum() > no_number.sum():
        table.refuse(times.isna(), column, "is not a time such as 2026-11-28T09:30", text)
        return times.astype("int64").to_numpy()
    steps = table.numbers(column, style)
    table.refuse(np.isnan(steps), column, "is empty")
    return steps


class _PerSeries:
    """Columns that have one value per series.

    Args:
        table: with a row per step.
        codes: the number of the series of each row.
        first: the first row of each series.
    """

    def __init__(self, table: Table, codes: np.ndarray, first: np.ndarray):
        self.table, self.codes, self.first = table, codes, first

    def labels(self, column: str, *, required: bool) -> list[str] | None:
        """Text, which is not empty if it is `required`."""
        if column not in self.table.data:
            return None
        if required:
            self.table.refuse(self.table.text(column) == "", column, "is empty")
        return self._constant(column)

    def targets(self, column: str, style: NumberStyle, *, required: bool) -> np.ndarray | None:
        """Numbers; NaN where a cell is empty, unless they are `required`."""
        if column not in self.table.data:
            return None
        numbers = self.table.numbers(column, style)
        if required:
            self.table.refuse(np.isnan(numbers), column, "is empty")
        self._constant(column)
        return numbers[self.first]

    def splits(self, column: str) -> list[str | None] | None:
        """Names of splits, as `split_name` reads them."""
        if column not in self.table.data:
            return None
        text = self.table.text(column)
        unknown = ~text.map({name: split_name(name) is not None for name in text.unique()})
        self.table.refuse(unknown.astype(bool), column, f"is none of {', '.join(SPLITS)}", text)
        return [split_name(name) for name in self._constant(column)]

    def groups(self, column: str) -> list[str | None] | None:
        """Any text; an empty cell is no group."""
        return [name or None for name in self._constant(column)] if column in self.table.data else None

    def _constant(self, column: str) -> list[str]:
        text = self.table.text(column)
        of_first = text.to_numpy()[self.first]
        self.table.refuse(
            text.to_numpy() != of_first[self.codes], column, "differs from the first step of its series", text
        )
        return of_first.tolist()
