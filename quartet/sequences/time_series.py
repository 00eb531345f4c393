"""Read a user's labelled time series from a CSV file with one row per step.

Columns: `series` (which series a row belongs to), `step` (its position, any number), `label` (the same in all rows of
a series), and one column of numbers per feature. Series may differ in length.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SERIES, STEP, LABEL = "series", "step", "label"


@dataclass(frozen=True)
class TimeSeries:
    """The steps of all series, one series after another."""

    names: list[str]
    features: list[str]
    values: np.ndarray  # (all steps, features) float32
    lengths: np.ndarray  # (series,)
    labels: list[str]  # one per series


def read_time_series(path: Path, missing: str) -> TimeSeries:
    """Read and check the file.

    Args:
        path: the CSV file, UTF-8, with a header.
        missing: an empty cell is an `error`, the `previous` value of the same series (zero at its start), or `zero`.

    Raises:
        ValueError: a column is missing, or a row is malformed; rows are numbered as in an editor.
    """
    table = _read(path)
    features = [name for name in table.columns if name not in (SERIES, STEP, LABEL)]
    absent = [name for name in (SERIES, STEP, LABEL) if name not in table.columns]
    if absent or not features:
        what = f"no column {', '.join(absent)}" if absent else "no column of features"
        raise ValueError(
            f"{path}: {what}; expected `{SERIES}`, `{STEP}`, `{LABEL}` and at least one column of numbers, "
            f"found {', '.join(table.columns)}"
        )
    for name in (SERIES, LABEL):
        _refuse(path, table[name].str.strip() == "", name, "is empty")
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in [STEP, *features]}
    for name, column in numbers.items():
        empty = table[name].str.strip() == ""
        _refuse(path, column.isna() & ~empty, name, "is not a number", table[name])
        _refuse(path, np.isinf(column), name, "is not finite", table[name])
        if name == STEP or missing == "error":
            remedy = "" if name == STEP else "; to allow empty cells, set preprocess.sequences.missing"
            _refuse(path, empty, name, f"is empty{remedy}")
    table = table.assign(**numbers)
    _refuse(path, table.duplicated([SERIES, STEP]), STEP, "appears twice in its series", table[STEP])
    first_label = table.groupby(SERIES)[LABEL].transform("first")
    _refuse(path, table[LABEL] != first_label, LABEL, "differs from the label of the series' first row", table[LABEL])
    table = table.sort_values([SERIES, STEP], kind="stable")
    by_series = table.groupby(SERIES, sort=True)
    if missing == "previous":
        table[features] = by_series[features].ffill()
    values = table[features].fillna(0.0).to_numpy(np.float32)
    lengths, labels = by_series.size(), by_series[LABEL].first()
    return TimeSeries(list(lengths.index), features, values, lengths.to_numpy(np.int64), list(labels))


def _read(path: Path) -> pd.DataFrame:
    """Read all cells as text, so that each can be checked."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8", skipinitialspace=True)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as CSV: {error}") from error
    if table.empty:
        raise ValueError(f"{path}: has no rows")
    table = table.rename(columns=str.strip)
    for number, name in enumerate(table.columns, start=1):
        if name == "" or name.startswith("Unnamed: "):  # pandas' name for a column without one
            raise ValueError(
                f"{path}: column {number} has no name; remove it (in pandas: `to_csv(…, index=False)`), "
                "or the commas at the ends of lines"
            )
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(f"{path}: two columns are named {twice[0]}")
    return table.assign(**{name: table[name].str.strip() for name in (SERIES, LABEL) if name in table})


def _refuse(path: Path, bad: pd.Series, column: str, what: str, shown: pd.Series | None = None) -> None:
    if bad.any():
        first = bad.to_numpy().argmax()
        value = "" if shown is None else f" '{shown.iloc[first]}'"
        others = f" (and {bad.sum() - 1} more)" if bad.sum() > 1 else ""
        # The header is row 1.
        raise ValueError(f"{path}: row {first + 2}: {column}{value} {what}{others}")
