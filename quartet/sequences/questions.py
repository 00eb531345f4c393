"""Series and passages that a user wants classified, in the forms in which they are trained on."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from quartet.artifacts.errors import BadInput
from quartet.datasets.questions import Question, Questions, text_questions
from quartet.datasets.reading.tables import NumberStyle, Table, read_table
from quartet.datasets.reading.time_series import TimeSeries, filled
from quartet.datasets.reading.ts_files import read_ts_files
from quartet.sequences.preparation.forecast_tables import histories_from_table
from quartet.sequences.preparation.histories import without_future
from quartet.sequences.preparation.series_tables import series_from_table
from quartet.sequences.settings import PreprocessSequences


def passage_questions(path: Path, data: Mapping, settings: PreprocessSequences) -> Questions:
    """Passages of a table, or the lines of a text file.

    Raises:
        BadInput: the file cannot be read.
    """
    return text_questions(path, (settings.columns.text,), settings.columns.label)


def series_questions(path: Path, data: Mapping, settings: PreprocessSequences) -> Questions:
    """Series of a table or a `.ts` file, with the features of the model whose card's `data` is given.

    A series that is malformed is a question that cannot be read, beside the others.

    Raises:
        BadInput: the file cannot be read, or its features are not the model's.
    """
    if path.suffix.lower() == ".ts":
        return Questions("series", list(_of_series(read_ts_files({path: None}), data, settings)))
    table = read_table(path)
    try:
        found = list(_of_series(_series(table, settings), data, settings))
    except BadInput:
        found = _one_by_one(table, data, settings)
    return Questions("series", found)


def history_questions(path: Path, data: Mapping, settings: PreprocessSequences) -> Questions:
    """The series of a table to be continued, with the features of the model whose card's `data` is given.

    If features are known in advance, the rows of the future have empty cells for the others.

    Raises:
        BadInput: the file cannot be read, its features are not the model's, or more of the future is given than is
            forecast.
    """
    style = NumberStyle("preprocess.sequences", settings.decimal, settings.thousands)
    histories = histories_from_table(read_table(path), settings, style)
    known, ahead = len(data["known"]), data["horizon"] if data["known"] else 0
    future = histories.series.lengths - without_future(histories).series.lengths
    if ahead and (future > ahead).any():
        worst = int(future.argmax())
        raise BadInput(
            f"{path}: series {histories.series.names[worst]} ends in {future[worst]:,} rows of the future; the model "
            f"looks {ahead:,} steps ahead: remove the others"
        )
    series = _complete(histories.series, settings)
    order = _order(series, data)
    found = []
    for name, values in zip(series.names, series.each(), strict=True):
        chosen = values[:, order].copy()
        if ahead:
            chosen[-ahead:, : chosen.shape[1] - known] = 0.0  # what is to be forecast is not read
        found.append(Question(name, chosen.copy))
    return Questions("series", found)


def _complete(series: TimeSeries, settings: PreprocessSequences) -> TimeSeries:
    """The series without empty values; without a rule for them, a series with one is refused when it is asked."""
    return series if settings.missing == "error" else filled(series, settings.missing)


def _order(series: TimeSeries, data: Mapping) -> list[int]:
    """The places of the model's features among those of the series."""
    names = data.get("feature_names", list(series.features))
    if sorted(names) != sorted(series.features):
        raise BadInput(
            f"{series.source}: its features are {', '.join(series.features)}; the model takes {', '.join(names)}"
        )
    return [list(series.features).index(name) for name in names]


def _series(table: Table, settings: PreprocessSequences) -> TimeSeries:
    style = NumberStyle("preprocess.sequences", settings.decimal, settings.thousands)
    return series_from_table(table, settings.columns, style, labelled=False)


def _of_series(series: TimeSeries, data: Mapping, settings: PreprocessSequences) -> Iterator[Question]:
    order = _order(series, data)
    complete = _complete(series, settings)
    known = series.labels
    if series.targets is not None:
        known = ["" if np.isnan(target) else repr(target) for target in series.targets.tolist()]
    labels = known or [""] * len(series.names)
    for name, values, label in zip(series.names, complete.each(), labels, strict=True):
        yield Question(name, values[:, order].copy, label or None)


def _one_by_one(table: Table, data: Mapping, settings: PreprocessSequences) -> list[Question]:
    """As `_of_series`, for a table in which something is malformed."""
    table.require(settings.columns.series, settings.columns.step)
    owners = table.text(settings.columns.series)
    found: list[Question] = []
    errors: list[BadInput] = []
    rows_of = {str(name): np.asarray(rows) for name, rows in owners.groupby(owners).indices.items()}
    for name in sorted(rows_of):
        try:
            found += _of_series(_series(table.rows(rows_of[name]), settings), data, settings)
        except BadInput as error:
            errors.append(error)
            found.append(Question(name, _Refused(error)))
    if len(errors) == len(found):
        raise errors[0]
    return found


class _Refused:
    def __init__(self, error: BadInput):
        self.error = error

    def __call__(self) -> np.ndarray:
        raise self.error
