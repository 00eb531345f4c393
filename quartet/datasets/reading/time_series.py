"""Time series of any source in one form, in one order: the same series give the same data however they are stored."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from quartet.artifacts.errors import BadInput


@dataclasses.dataclass(frozen=True)
class TimeSeries:
    """Labelled series, the steps of all of them one after another.

    Attributes:
        source: what messages call the file.
        names: what messages call each series.
        features: names of the columns of `values`.
        values: `(all steps, features)` float64; NaN where a value is missing.
        lengths: `(series,)` int64.
        labels: the class of each series; None if `targets` are given.
        targets: `(series,)` float64, the number to predict for each series; None if `labels` are given.
        splits: `train`, `validation` or `test` of each series; None if the source does not say.
        groups: what each series belongs to; None if the source does not say.
    """

    source: str
    names: Sequence[str]
    features: Sequence[str]
    values: np.ndarray
    lengths: np.ndarray
    labels: Sequence[str] | None = None
    targets: np.ndarray | None = None
    splits: Sequence[str | None] | None = None
    groups: Sequence[str | None] | None = None

    def each(self) -> list[np.ndarray]:
        """The `(steps, features)` values of each series."""
        return np.split(self.values, self.lengths.cumsum()[:-1])

    def contents(self) -> list[bytes]:
        """A checksum of the values of each series, equal for equal series."""
        return [hashlib.blake2b(np.ascontiguousarray(part).tobytes(), digest_size=16).digest() for part in self.each()]


def filled(series: TimeSeries, missing: str) -> TimeSeries:
    """The series without missing values.

    Args:
        series: maybe with NaN.
        missing: `error`; `previous`, the last value of the same feature in the same series (zero at its start); `zero`.

    Raises:
        BadInput: a value is missing and `missing` is `error`.
    """
    gaps = np.isnan(series.values)
    if not gaps.any():
        return series
    if missing == "error":
        step, feature = (int(index) for index in np.argwhere(gaps)[0])
        number = int(np.searchsorted(series.lengths.cumsum(), step, side="right"))
        place = step - int(series.lengths[:number].sum())
        raise BadInput(
            f"{series.source}: series {series.names[number]}: {series.features[feature]} is empty at step {place + 1} "
            f"({int(gaps.sum())} empty in all); preprocess.sequences.missing says what else an empty value may mean"
        )
    values = series.values
    if missing == "previous":
        # The last row with a value, but not before the start of the series.
        starts = np.repeat(series.lengths.cumsum() - series.lengths, series.lengths)
        rows = np.where(gaps, -1, np.arange(len(values))[:, None])
        last = np.maximum.accumulate(rows, axis=0)
        known = last >= starts[:, None]
        values = np.where(known, np.take_along_axis(values, np.maximum(last, 0), axis=0), 0.0)
    return dataclasses.replace(series, values=np.nan_to_num(values, nan=0.0))


def in_one_order(series: TimeSeries) -> TimeSeries:
    """The series sorted by label or target, then by content, so that the order of the source has no effect."""
    contents = series.contents()
    first = series.labels if series.labels is not None else series.targets
    order = sorted(range(len(series.lengths)), key=lambda index: (first[index], contents[index]))  # type: ignore[index]
    each = series.each()

    def sort(values: Sequence | None) -> list | None:
        return None if values is None else [values[index] for index in order]

    return dataclasses.replace(
        series,
        names=[series.names[index] for index in order],
        values=np.concatenate([each[index] for index in order]),
        lengths=series.lengths[order],
        labels=sort(series.labels),
        targets=None if series.targets is None else series.targets[order],
        splits=sort(series.splits),
        groups=sort(series.groups),
    )
