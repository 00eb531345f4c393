"""A look at a user's time series or labelled passages before they are downloaded and prepared."""

import numpy as np

from quartet.artifacts.errors import listed
from quartet.artifacts.paths import user_path
from quartet.datasets.inspection import Inspection, counts_by_class, spread
from quartet.datasets.reading.time_series import TimeSeries
from quartet.sequences.preparation import read_passages, read_series, split_sequences
from quartet.sequences.preparation.forecasts import complete_histories, outlook_of
from quartet.sequences.preparation.histories import Histories
from quartet.sequences.preparation.passages import Passages
from quartet.sequences.settings import PreprocessSequences
from quartet.sequences.sources import own_files


def inspect_sequences(source: str, settings: PreprocessSequences) -> Inspection:
    """What the pipeline would read from a user's `source`, a value of `download.sequences`; writes nothing.

    Raises:
        BadInput: a file is malformed, or its sequences cannot be split.
    """
    kind, _, name = source.partition(":")
    files = own_files(kind, user_path(name))
    folder = next(iter(files)).parent
    splits_of_files = {file.name: split for file, split in files.items()}
    if kind == "passages":
        passages = read_passages(source, splits_of_files, folder, settings)
        return _inspection(passages, "passages", _facts_of_passages(passages), source, settings)
    series, task = read_series(source, splits_of_files, folder, settings)
    learnt = {"task": f"{task['task']}, since {task['task_reason']}"}
    if isinstance(series, Histories):
        series = complete_histories(series, settings)
        outlook = outlook_of(series, source, settings)
        ahead = {
            "season": f"{outlook.season} steps" if outlook.season > 1 else "none",
            "looks back": f"{outlook.window} steps",
            "looks ahead": f"{outlook.horizon} steps",
        }
        facts = {**learnt, **_facts_of_series(series.series), **ahead}
        return Inspection(facts, counts_by_class(outlook.report, [], "windows"), outlook.report, {}, [])
    return _inspection(series, "series", {**learnt, **_facts_of_series(series)}, source, settings)


def _facts_of_series(series: TimeSeries) -> dict[str, str]:
    facts = {
        "series": f"{len(series.names):,}",
        "steps": spread(series.lengths),
        "features": f"{len(series.features):,}: {listed(series.features)}",
    }
    if series.targets is not None:
        facts["numbers to predict"] = f"{series.targets.min():g} to {series.targets.max():g}"
    return facts


def _facts_of_passages(passages: Passages) -> dict[str, str]:
    return {"passages": f"{len(passages.texts):,}", "characters": spread([len(text) for text in passages.texts])}


def _inspection(
    found: TimeSeries | Passages, what: str, facts: dict[str, str], source: str, settings: PreprocessSequences
) -> Inspection:
    report = split_sequences(found, source, settings).report
    classes = [] if found.labels is None else list(map(str, np.unique(found.labels)))
    if classes:
        facts = {**facts, "classes": f"{len(classes):,}"}
    return Inspection(facts, counts_by_class(report, classes, what), report, {}, [])
