"""Series to be continued, from a table with a row per time: what its columns are, and which task they suggest."""

import difflib

import numpy as np
import pandas as pd

from quartet.artifacts.errors import BadInput, listed
from quartet.datasets.reading.tables import EMPTY, NumberStyle, Table
from quartet.datasets.reading.time_series import TimeSeries
from quartet.datasets.splits import SPLITS, split_name
from quartet.sequences.preparation.histories import Histories
from quartet.sequences.preparation.series_tables import series_and_steps, step_numbers
from quartet.sequences.settings import Columns, PreprocessSequences


def task_of(table: Table, settings: PreprocessSequences) -> str:
    """The task that the table is for: `classes`, `numbers` or `forecast`.

    Columns `ds` and `y`, as Prophet has them, are a time and what is to be forecast.

    Raises:
        BadInput: there is no label, and a column looks like a misspelt one.
    """
    columns = settings.columns
    if settings.task != "auto":
        return settings.task
    if columns.label in table.data or columns.target in table.data:
        return "classes" if columns.label in table.data else "numbers"
    if {"ds", "y"} <= set(table.columns):
        return "forecast"
    for column in table.columns:
        near = difflib.get_close_matches(column.lower(), (columns.label, columns.target, "class", "y"), 1, 0.75)
        if near and column not in (columns.series, columns.step, columns.split, columns.group):
            raise BadInput(
                f"{table.path}: column {column} looks like a label; name it in preprocess.sequences.columns.label, or "
                "a number to predict in .columns.target, or set preprocess.sequences.task to forecast"
            )
    return "forecast"


def histories_from_table(table: Table, settings: PreprocessSequences, style: NumberStyle) -> Histories:
    """One series, or one for each name in the column of series, in the order of time.

    Every column beside the time, the series and the split is a feature; those of `columns.known` come last. An empty
    cell is NaN.

    Raises:
        BadInput: no column is a time, a feature is not a number, or a row is malformed; the message gives its number.
    """
    columns = settings.columns
    step = _time_column(table, columns)
    known = [name.strip() for name in (columns.known or "").split(",") if name.strip()]
    table.require(*known)
    roles = {step, columns.series, columns.split, columns.group}
    features = [name for name in table.columns if name not in roles and name not in known]
    if not features:
        raise BadInput(f"{table.path}: has no column to forecast beside {listed(table.columns)}")
    for name in (*features, *known):
        _refuse_text(table, name, columns)
    steps = step_numbers(table, step, style)
    if columns.series in table.data:
        codes, names, order = series_and_steps(table, columns.series, step, steps)
    else:
        codes, names, order = np.zeros(len(table), np.int64), ["1"], np.argsort(steps, kind="stable")
        table.refuse(pd.Series(steps).duplicated(), step, "appears twice", table.text(step))
    series = TimeSeries(
        source=str(table.path),
        names=names,
        features=[*features, *known],
        values=np.column_stack([table.numbers(name, style) for name in (*features, *known)])[order],
        lengths=np.bincount(codes).astype(np.int64),
    )
    return Histories(series, len(known), _own_splits(table, columns.split, order), _gaps(series, steps[order]))


def _time_column(table: Table, columns: Columns) -> str:
    if columns.step in table.data:
        return columns.step
    found = []
    for name in table.columns:
        text = table.text(name)
        if pd.to_numeric(text, errors="coerce").notna().all():
            continue
        if pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True).notna().all():
            found.append(name)
    if len(found) == 1:
        return found[0]
    raise BadInput(
        f"{table.path}: {'several columns are' if found else 'no column is'} a time such as 2026-11-28T09:30 in every "
        f"row{': ' + listed(found) if found else ''}; name the column in preprocess.sequences.columns.step"
    )


def _refuse_text(table: Table, name: str, columns: Columns) -> None:
    """Raise BadInput for a column without a digit: it is a label or a name, not a feature."""
    text = table.text(name)
    filled = text[~text.str.lower().isin(EMPTY)]
    if len(filled) and not filled.str.contains(r"\d").any():
        raise BadInput(
            f"{table.path}: column {name} has no numbers ({filled.iloc[0]!r}); a forecast takes numbers alone. If it "
            "names the series or their classes, say so in preprocess.sequences.columns; otherwise remove it"
        )


def _own_splits(table: Table, column: str, order: np.ndarray) -> np.ndarray | None:
    if column not in table.data:
        return None
    text = table.text(column)
    table.refuse(
        ~text.map(lambda name: split_name(name) is not None).to_numpy(), column, f"is none of {', '.join(SPLITS)}", text
    )
    return np.asarray([split_name(name) for name in text], dtype=object)[order]


def _gaps(series: TimeSeries, steps: np.ndarray) -> list[str]:
    """What to say of series whose steps are not at equal distances; months may differ by three days."""
    found = []
    for name, times in zip(series.names, np.split(steps, series.lengths.cumsum()[:-1]), strict=True):
        distances = np.diff(times)
        wide = distances > 1.5 * np.median(distances) if len(distances) else np.zeros(0, bool)
        if wide.any():
            found.append(f"{name} ({int(wide.sum())})")
    if not found:
        return []
    return [f"steps are missing or unequal in time, in series {listed(found)}; a forecast takes them as equal"]
