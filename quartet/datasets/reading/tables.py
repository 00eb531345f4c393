"""A user's table — CSV, JSON lines or Parquet — read the same way; messages number its rows as an editor does."""

import dataclasses
import functools
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quartet.artifacts.errors import BadInput
from quartet.datasets.reading.delimited import Records
from quartet.datasets.reading.json_lines import json_objects
from quartet.datasets.reading.text_files import PACKED, text_chunks

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
EMPTY = ("", "na", "n/a", "#n/a", "nan", "null", "none", "<na>")  # what a cell without a number says, in small letters
_SIGNS = {"none": "", "comma": ",", "point": ".", "space": " "}
LARGEST = float(np.finfo(np.float32).max)  # of the numbers that training reads


@dataclasses.dataclass(frozen=True)
class NumberStyle:
    """How a table writes numbers: the decimal sign and what separates thousands, each by name.

    `section` is where the settings of both are, for messages.
    """

    section: str
    decimal: str = "point"
    thousands: str = "none"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table without its blank rows.

    Attributes:
        path: the file, for messages.
        data: a column per name; cells are text, or numbers and times where a Parquet file has them as such, or lists.
        row_numbers: computes the number of each row: its line in a text file, counted from 1 in a Parquet file.
    """

    path: Path
    data: pd.DataFrame
    row_numbers: Callable[[], Sequence[int]]

    def __len__(self) -> int:
        return len(self.data)

    @property
    def columns(self) -> list[str]:
        """Names, in the order of the file."""
        return [str(name) for name in self.data.columns]

    def require(self, *names: str) -> None:
        """Raise BadInput unless the table has these columns."""
        absent = [name for name in names if name not in self.data]
        if absent:
            raise BadInput(f"{self.path}: has no column {_listed(absent)}; its columns are {_listed(self.columns)}")

    def refuse_near(self, names: Sequence[str], *, but_numbers: bool = False) -> None:
        """Raise BadInput for a column that is not one of these names, but for capitals or spaces would be.

        With `but_numbers`, a column of numbers may have such a name.
        """
        for column in self.columns:
            for name in names:
                is_near = column != name and column.strip().lower() == name.strip().lower() and name not in self.data
                if is_near and not (but_numbers and not np.isnan(self.parsed(column, NumberStyle(""))).any()):
                    raise BadInput(
                        f"{self.path}: column {column!r} is not read, since it is not named {name!r}; rename it, or "
                        "remove it if it is something else"
                    )

    def parsed(self, name: str, style: NumberStyle) -> np.ndarray:
        """A column as float64; NaN where a cell is no number, or is empty."""
        if self.is_numeric(name):
            return self.data[name].to_numpy(np.float64, na_value=np.nan)
        return _parsed(self.text(name), style)

    def is_numeric(self, name: str) -> bool:
        """Whether the cells of a column are numbers, as a Parquet file may have them."""
        column = self.data[name]
        return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)

    def rows(self, chosen: np.ndarray) -> "Table":
        """The rows at some places, with their numbers."""
        return Table(self.path, self.data.iloc[chosen], lambda: np.asarray(self.row_numbers())[chosen].tolist())

    def text(self, name: str) -> pd.Series:
        """A column as text without white space around it; an empty cell is an empty text."""
        return self.verbatim(name).str.strip()

    def verbatim(self, name: str) -> pd.Series:
        """A column as text; an empty cell is an empty text."""
        column = self.data[name]
        if pd.api.types.is_datetime64_any_dtype(column):
            return column.map(lambda time: "" if pd.isna(time) else time.isoformat()).astype(str)
        cells = column.astype(object).where(column.notna(), "")
        if column.dtype == object:  # where alone lists may be
            cells = cells.map(lambda cell: json.dumps(list(cell), ensure_ascii=False) if _is_texts(cell) else cell)
        return cells.astype(str)

    def texts(self, name: str) -> list[list[str]]:
        """The texts in each cell of a column: those of a list of texts, else one, without white space around them."""
        cells = zip(self.data[name], self.text(name), strict=True)
        return [[part.strip() for part in cell] if _is_texts(cell) else [text] for cell, text in cells]

    def numbers(self, name: str, style: NumberStyle) -> np.ndarray:
        """A column as float64, exactly what its digits say; NaN where a cell is empty.

        Raises:
            BadInput: a cell is not a finite number within the range of float32.
        """
        text, numbers = self.data[name], self.parsed(name, style)
        if not self.is_numeric(name):
            text = self.text(name)
            bad = np.isnan(numbers) & ~text.str.lower().isin(EMPTY).to_numpy()
            if bad.any():
                self.refuse(bad, name, f"is not a number{_remedy(text[bad].iloc[0], style)}", text)
        self.refuse(np.isinf(numbers), name, "is not finite", text)
        self.refuse(np.abs(numbers) > LARGEST, name, f"is beyond {LARGEST:.1e}, the largest 32-bit number", text)
        return numbers

    def refuse(self, bad: np.ndarray | pd.Series, column: str, what: str, shown: pd.Series | None = None) -> None:
        """Raise BadInput that names the first bad row, its cell if `shown`, and how many more there are."""
        mask = np.asarray(bad)
        if mask.any():
            first, count = int(mask.argmax()), int(mask.sum())
            cell = "" if shown is None else f" '{shown.iloc[first]}'"
            more = f" (and {count - 1} more rows)" if count > 1 else ""
            raise BadInput(f"{self.path}: row {self.row_numbers()[first]}: {column}{cell} {what}{more}")


def read_table(path: Path, named: Path | None = None) -> Table:
    """Read a table in the format that the ending of its name says; messages call it `named`.

    CSV is separated by commas, semicolons or tabs, as its header shows; between tabs, quotation marks are characters
    like any other where they do not enclose whole cells. CSV and JSON lines may be packed (`.gz`,
    `.zst`), and are in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        BadInput: the file cannot be read or has no rows, two columns have one name, a column has none, or a row
            has too many or too few cells.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_json_lines, ".parquet": _read_parquet}
    ending = Path(_unpacked(path)).suffix.lower()
    if ending not in readers:
        raise BadInput(f"{path}: is no table that can be read; the name of one ends in {_listed(ENDINGS)}")
    table = readers[ending](path)
    if not len(table):
        raise BadInput(f"{path}: has no rows")
    return dataclasses.replace(table, path=named or path)


def _unpacked(path: Path) -> str:
    return path.stem if path.suffix.lower() in PACKED else path.name


def _read_csv(path: Path) -> Table:
    from pyarrow import ArrowInvalid
    from pyarrow import csv as arrow_csv

    content = b"".join(chunk.encode() for chunk in text_chunks(path))
    records = Records(content, tabs=Path(_unpacked(path)).suffix.lower() == ".tsv")
    _check_names(path, records.names)
    if wrong := records.wrong_quotation():
        raise BadInput(f"{path}: {wrong}")
    # Columns by number here, since names are checked above and Arrow has its own ideas of equal ones.
    keys = [str(number) for number in range(len(records.names))]
    try:
        data = arrow_csv.read_csv(
            io.BytesIO(records.content),
            arrow_csv.ReadOptions(column_names=keys, skip_rows=records.header_line, block_size=2**26),
            arrow_csv.ParseOptions(
                delimiter=records.delimiter, quote_char='"' if records.quoted else False, newlines_in_values=True
            ),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(keys, "string"), strings_can_be_null=False),
        ).to_pandas()
    except ArrowInvalid as error:
        raise BadInput(f"{path}: {records.malformed() or f'cannot be read as CSV: {error}'}") from error
    data.columns = pd.Index(records.names)
    filled = np.logical_or.reduce([data[name].str.strip() != "" for name in records.names])
    return Table(path, data[filled].reset_index(drop=True), functools.cache(records.lines))


def _read_json_lines(path: Path) -> Table:
    """A JSON object per line; numbers keep their digits, as in CSV."""
    records, rows = [], []
    for number, record in json_objects(path):
        records.append({name: _json_cell(value) for name, value in record.items()})
        rows.append(number)
    data = pd.DataFrame(records, dtype=object)
    _check_names(path, list(data.columns))
    return Table(path, data.where(data.notna(), ""), lambda: rows)


def _json_cell(value: Any) -> str | list[str]:
    if value is None:
        return ""
    return value if isinstance(value, str) or _is_texts(value) else json.dumps(value, ensure_ascii=False)


def _is_texts(cell: Any) -> bool:
    """Whether a cell is a list of texts, as JSON lines and Parquet files may have."""
    return isinstance(cell, (list, np.ndarray)) and all(isinstance(part, str) for part in cell)


def _read_parquet(path: Path) -> Table:
    from pyarrow import ArrowException, parquet

    try:
        # pandas' own notes in the file would make an index of some columns.
        data = parquet.read_table(path).to_pandas(ignore_metadata=True)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file") from error
    except (ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet: {error}") from error
    data = data[[name for name in data if not name.startswith("__index_level_")]]
    _check_names(path, list(data.columns))
    return Table(path, data, lambda: range(1, len(data) + 1))


def _check_names(path: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names, start=1):
        if not name or re.fullmatch(r"Unnamed: \d+", name):  # what pandas calls a column without a name
            raise BadInput(
                f"{path}: column {number} has no name; leave it out (pandas: `to_csv(…, index=False)`), "
                "and end no line in a delimiter"
            )
        if names.index(name) < number - 1:
            raise BadInput(
                f"{path}: columns {names.index(name) + 1} and {number} are both named {name!r}; rename or remove one"
            )


def _parsed(text: pd.Series, style: NumberStyle) -> np.ndarray:
    """float64, exactly as Python reads the digits; NaN where a cell is no number."""
    decimal, thousands = map(re.escape, (_SIGNS[style.decimal], _SIGNS[style.thousands]))
    whole = rf"[1-9]\d{{0,2}}(?:{thousands}\d{{3}})+|\d+" if thousands else r"\d+"
    pattern = rf"[+-]?(?:(?:(?:{whole})(?:{decimal}\d*)?|{decimal}\d+)(?:e[+-]?\d+)?|inf(?:inity)?)"
    are_numbers = text.str.fullmatch(pattern, case=False).to_numpy(bool)
    found = text[are_numbers]
    if thousands:
        found = found.str.replace(_SIGNS[style.thousands], "", regex=False)
    numbers = np.full(len(text), np.nan)
    numbers[are_numbers] = (
        found.str.replace(_SIGNS[style.decimal], ".", regex=False).to_numpy(object).astype(np.float64)
    )
    return numbers


def _remedy(cell: str, style: NumberStyle) -> str:
    """Which other styles would make a number of a cell, for the end of a message."""
    pairs = [("comma", "none"), ("point", "comma"), ("comma", "point"), ("point", "space"), ("comma", "space")]
    fitting: dict[float, str] = {}
    for decimal, thousands in pairs:
        number = _parsed(pd.Series([cell], dtype=str), NumberStyle(style.section, decimal, thousands))[0]
        if not np.isnan(number):
            found = f"{style.section}.decimal = {decimal} and {style.section}.thousands = {thousands}"
            fitting.setdefault(float(number), found)
    return "; if it is one, set " + ", or ".join(fitting.values()) if fitting else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(str, names))
