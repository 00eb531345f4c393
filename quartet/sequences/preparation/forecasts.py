"""Prepare series for a forecast (`forecasting/windows.py` describes the format)."""

import dataclasses
from pathlib import Path

import numpy as np

from quartet.artifacts.errors import BadInput, listed
from quartet.artifacts.tensor_files import save_arrays
from quartet.datasets.reading.time_series import filled
from quartet.datasets.splits import SPLITS, print_report
from quartet.sequences.loading import series_values
from quartet.sequences.preparation.histories import (
    Cut,
    Histories,
    cut_by_time,
    season_of,
    window_of,
    without_future,
)
from quartet.sequences.preparation.standardising import standardisation
from quartet.sequences.settings import PreprocessSequences

LONGEST_HORIZON = 96  # that is chosen without a setting


@dataclasses.dataclass(frozen=True)
class Outlook:
    """How far a forecast looks back and ahead, and how its series are cut.

    Attributes:
        season: the steps after which the series repeat; 1 without a season.
        horizon, window: steps ahead, and steps that are looked back on.
        cut: the stretches of the splits.
        report: what there is to say about the splits, as `datasets/splits.py` has it.
    """

    season: int
    horizon: int
    window: int
    cut: Cut
    report: dict


def outlook_of(histories: Histories, source: str, settings: PreprocessSequences) -> Outlook:
    """The settings, or what the rules make of the series: the season is looked for in the first half of each.

    Raises:
        BadInput: a series is too short, its own splits do not follow each other, or a setting does not apply.
    """
    if settings.standardise == "series":
        raise BadInput(
            f"{source}: a forecast standardises each window by itself; set preprocess.sequences.standardise to data"
        )
    features = len(histories.series.features) - histories.known
    halves = [values[: (len(values) + 1) // 2, :features] for values in histories.series.each()]
    season = settings.season or season_of(halves)
    shortest = int(histories.series.lengths.min())
    horizon = settings.horizon or min(LONGEST_HORIZON, season if season > 1 else max(1, shortest // 10))
    try:
        cut = cut_by_time(histories, settings, horizon)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error
    if season >= cut.train.min():
        raise BadInput(
            f"{source}: preprocess.sequences.season of {season} steps is longer than a training stretch, of "
            f"{cut.train.min()}"
        )
    window = settings.window or window_of(int(cut.train.min()), season, horizon)
    report = _report(histories, cut, window, horizon)
    for split, (count,) in report["classes"].items():
        if not count:
            raise BadInput(
                f"{source}: its {split} stretches are too short for a window of {window} steps and a horizon of "
                f"{horizon}; set preprocess.sequences.window, .horizon or .{split}_steps"
            )
    return Outlook(season, horizon, window, cut, report)


def _report(histories: Histories, cut: Cut, window: int, horizon: int) -> dict:
    steps, windows, short = {}, {}, []
    for split in SPLITS:
        start, end = cut.stretch(split)
        steps[split] = int((end - start).sum())
        of_series = np.maximum(0, end - np.maximum(start, window) - horizon + 1)
        windows[split] = int(of_series.sum())
        without = [histories.series.names[number] for number in np.flatnonzero(of_series == 0).tolist()]
        if without and windows[split]:
            short.append(
                f"{split} leaves out {len(without):,} of {len(of_series):,} series, too short for a window of {window} "
                f"steps and a horizon of {horizon}: {listed(without)}"
            )
    unused = int(histories.series.lengths.sum()) - sum(steps.values())
    counts = ", ".join(f"{steps[split]:,} {split}" for split in SPLITS)
    how = "as the source says" if histories.own is not None else "in the order of time"
    left = f"; the last {unused:,} are not used" if unused else ""
    return {
        "origin": f"steps: {counts}: {how}{left}",
        "drawn": [],
        "classes": {split: [windows[split]] for split in SPLITS},
        "groups": None,
        "copies": 0,
        "copies_in_two_splits": [],
        "copies_in_two_classes": [],
        "warnings": [*histories.gaps, *short],
    }


def complete_histories(histories: Histories, settings: PreprocessSequences) -> Histories:
    """The series up to the last value of what is forecast, without missing values.

    Raises:
        BadInput: a value is missing, and the settings do not say what that means.
    """
    past = without_future(histories)
    return dataclasses.replace(past, series=filled(past.series, settings.missing))


def prepare_forecast(histories: Histories, source: str, folder: Path, settings: PreprocessSequences) -> dict:
    """Cut by time and save; returns the content of `info.json`.

    Raises:
        BadInput: a value is missing, a series is too short, or no test window fits into the test stretch.
    """
    histories = complete_histories(histories, settings)
    outlook = outlook_of(histories, source, settings)
    windows = {split: count for split, (count,) in outlook.report["classes"].items()}
    each, cut = histories.series.each(), outlook.cut
    train = [values[:end] for values, end in zip(each, cut.train, strict=True)]
    info = {
        "source": source,
        "input": "forecast",
        "classes": [],
        "horizon": outlook.horizon,
        "window": outlook.window,
        "season": outlook.season,
        "steps": outlook.window,
        "features": len(histories.series.features),
        "feature_names": list(histories.series.features),
        "known": list(histories.series.features)[len(histories.series.features) - histories.known :],
        **standardisation("data", train),
        "counts": windows,
        "splits": outlook.report,
    }
    scale = seasonal_errors(each, cut.validation, outlook.season)
    if np.isnan(scale[:, : len(histories.series.features) - histories.known]).all():
        raise BadInput(f"{source}: each season before the test stretch is like the last; there is no error to beat")
    for split in SPLITS:
        start, end = cut.stretch(split)
        context = np.minimum(start, max(outlook.window, outlook.season))
        stretches = [values[a:b] for values, a, b in zip(each, start - context, end, strict=True)]
        arrays = {
            "values": np.concatenate([series_values(stretch, info) for stretch in stretches]),
            "lengths": end - start + context,
            "context": context,
        }
        if split == "test":
            arrays["scale"] = scale
        save_arrays(folder / f"{split}.safetensors", arrays)
    print_report(source, outlook.report)
    print(
        f"{source}: looks {outlook.window} steps back and {outlook.horizon} ahead; "
        + (f"repeats after {outlook.season} steps" if outlook.season > 1 else "without a season"),
        flush=True,
    )
    return info


def seasonal_errors(each: list[np.ndarray], ends: np.ndarray, season: int) -> np.ndarray:
    """The mean absolute error of "as a season ago" before the test stretch, `(series, features)`.

    It is the unit of the mean absolute scaled error (Hyndman and Koehler 2006); NaN where it is zero.
    """
    errors = []
    for values, end in zip(each, ends, strict=True):
        seen = values[:end]
        errors.append(np.abs(seen[season:] - seen[:-season]).mean(axis=0))
    found = np.asarray(errors)
    return np.where(found > 0, found, np.nan)
