"""Time series in the format of the time-series archive (`.ts`), as aeon and sktime read it.

A header of `@` lines; then a series per line: its features separated by `:`, the values of each by `,`, `?` for a
missing value, and last the class or the number to predict.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from quartet.artifacts.errors import BadInput
from quartet.datasets.reading.tables import LARGEST
from quartet.datasets.reading.text_files import lines_of
from quartet.datasets.reading.time_series import TimeSeries

PARTS = {"_TRAIN.ts": "train", "_TEST.ts": "test"}


def ts_files(path: Path) -> dict[Path, str | None]:
    """The files that `ts:PATH` names, each with its split: one file, or the two parts whose names begin with PATH.

    Raises:
        BadInput: there is no such file, or one part without the other.
    """
    if path.is_file():
        return {path: None}
    parts: dict[Path, str | None] = {path.with_name(path.name + ending): split for ending, split in PARTS.items()}
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise BadInput(f"{path}: no such file, nor {' and '.join(missing)} beside it")
    return parts


def read_ts_files(files: Mapping[Path, str | None]) -> TimeSeries:
    """The series of all files.

    Raises:
        BadInput: a file is malformed, the message gives the line; or files differ in their features.
    """
    read = [_read_ts(path, split) for path, split in files.items()]
    first = read[0]
    for other in read[1:]:
        if len(other.features) != len(first.features) or (other.labels is None) != (first.labels is None):
            raise BadInput(f"{other.source}: differs from {first.source} in its features or in having classes")
    return dataclasses.replace(
        first,
        names=[f"{Path(part.source).name}:{name}" for part in read for name in part.names],
        values=np.concatenate([part.values for part in read]),
        lengths=np.concatenate([part.lengths for part in read]),
        labels=None if first.labels is None else [label for part in read for label in part.labels or ()],
        targets=None if first.targets is None else np.concatenate([part.targets for part in read]),
        splits=None if first.splits is None else [split for part in read for split in part.splits or ()],
    )


def _read_ts(path: Path, split: str | None) -> TimeSeries:
    header: dict[str, list[str]] = {}
    rows: list[tuple[int, str]] = []
    data = False
    for number, line in enumerate(lines_of(path), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if data:
            rows.append((number, text))
        elif text.lower() == "@data":
            data = True
        elif text.startswith("@"):
            name, *values = text.split()
            header[name[1:].lower()] = values
        else:
            raise BadInput(f"{path}: line {number}: comes before @data and does not begin with @ or #")
    if not rows:
        raise BadInput(f"{path}: has no series after a line @data")
    if header.get("timestamps", ["false"])[0].lower() == "true":
        raise BadInput(f"{path}: has @timeStamps true; write the values alone, at equal distances in time")
    classes = header.get("classlabel", ["false"])
    numbers = header.get("targetlabel", ["false"])[0].lower() == "true"
    if classes[0].lower() != "true" and not numbers:
        raise BadInput(f"{path}: has neither @classLabel true nor @targetLabel true: there is nothing to learn")
    series, last = [], []
    for number, text in rows:
        *features, label = (part.strip() for part in text.split(":"))
        series.append(_values(path, number, features))
        if not numbers and len(classes) > 1 and label not in classes[1:]:
            raise BadInput(f"{path}: line {number}: class {label!r} is not among those of @classLabel")
        last.append(label)
        if series[-1].shape[1] != series[0].shape[1]:
            raise BadInput(
                f"{path}: line {number}: has {len(features)} features, the first series {series[0].shape[1]}; "
                "each line ends in : and its class"
            )
    return TimeSeries(
        source=str(path),
        names=[f"line {number}" for number, _ in rows],
        features=[f"feature {number + 1}" for number in range(series[0].shape[1])],
        values=np.concatenate(series),
        lengths=np.asarray([len(values) for values in series], np.int64),
        labels=None if numbers else last,
        targets=_targets(path, rows, last) if numbers else None,
        splits=None if split is None else [split] * len(series),
    )


def _targets(path: Path, rows: list[tuple[int, str]], last: list[str]) -> np.ndarray:
    targets = np.asarray([_number(path, number, text) for (number, _), text in zip(rows, last, strict=True)])
    for (number, _), target in zip(rows, targets, strict=True):
        if np.isnan(target):
            raise BadInput(f"{path}: line {number}: its last value, the number to predict, is missing")
    return targets


def _values(path: Path, number: int, features: list[str]) -> np.ndarray:
    columns = [[_number(path, number, value) for value in feature.split(",")] for feature in features]
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise BadInput(f"{path}: line {number}: its features have {sorted(lengths)} values; all need the same number")
    return np.asarray(columns, dtype=np.float64).T


def _number(path: Path, number: int, text: str) -> float:
    try:
        value = np.nan if text.strip() == "?" else float(text)
    except ValueError as error:
        raise BadInput(f"{path}: line {number}: {text.strip()!r} is not a number") from error
    if np.isinf(value) or abs(value) > LARGEST:
        raise BadInput(f"{path}: line {number}: {text.strip()} is beyond {LARGEST:.1e}, the largest 32-bit number")
    return value
