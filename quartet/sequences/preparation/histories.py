"""Series over time that are to be continued, and how they are cut into train, validation and test by time."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from quartet.artifacts.errors import BadInput
from quartet.datasets.reading.time_series import TimeSeries
from quartet.datasets.splits import SPLITS
from quartet.sequences.settings import PreprocessSequences

LARGEST_WINDOW = 512


@dataclasses.dataclass(frozen=True)
class Histories:
    """Series without labels, in the order of time.

    Attributes:
        series: their values; features that are known in advance come last.
        known: how many features are known in advance.
        own: `train`, `validation` or `test` of each of all steps; None if the source does not say.
        gaps: what to say of steps that are missing or unequal, if any.
    """

    series: TimeSeries
    known: int = 0
    own: np.ndarray | None = None
    gaps: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Cut:
    """The first step after the training, validation and test stretch of each series, `(series,)` each.

    Stretches follow each other, and what comes after test is not used.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def stretch(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The first step of a split and the first after it."""
        before = {"train": np.zeros_like(self.train), "validation": self.train, "test": self.validation}
        return before[split], getattr(self, split)


def cut_by_time(histories: Histories, settings: PreprocessSequences, horizon: int) -> Cut:
    """Cut every series by time, so that nothing of the future reaches training.

    The source's own splits count first, then the numbers of steps in the settings. Without either, test is the last
    `horizon` steps, and validation a share of what is before them, at least `horizon`.

    Raises:
        BadInput: a series is too short, or its own splits do not follow each other.
    """
    if histories.own is not None and settings.splits != "random":
        return _own_cut(histories)
    if settings.splits == "own":
        raise BadInput("`splits: own` takes a table with a column that says which steps are train and test")
    if settings.splits == "random":
        raise BadInput("`splits: random` would train on the future; a forecast takes auto or own")
    lengths = histories.series.lengths
    test = settings.test_steps or horizon
    share = np.ceil((lengths - test) * settings.validation).astype(np.int64)
    validation = np.maximum(horizon, share) if settings.validation_steps is None else settings.validation_steps
    train = lengths - test - validation if settings.train_steps is None else np.full_like(lengths, settings.train_steps)
    ends = np.stack([train, train + validation, train + validation + test])
    bad = np.flatnonzero((train < 1) | (ends[2] > lengths))
    if len(bad):
        first = int(bad[0])
        raise BadInput(
            f"series {histories.series.names[first]}: its {lengths[first]:,} steps are fewer than train, validation "
            f"and test take ({max(1, int(train[first])):,} + {int(ends[1][first] - train[first]):,} + {test:,})"
        )
    return Cut(*ends)


def _own_cut(histories: Histories) -> Cut:
    counts = []
    starts = histories.series.lengths.cumsum() - histories.series.lengths
    for name, start, length in zip(histories.series.names, starts, histories.series.lengths, strict=True):
        own = [] if histories.own is None else histories.own[start : start + length].tolist()
        ranks = np.asarray([SPLITS.index(split) for split in own])
        if (np.diff(ranks) < 0).any():
            raise BadInput(f"series {name}: its splits change back; in time, train comes before validation before test")
        found = np.bincount(ranks, minlength=3)
        if not found[0] or not found[2]:
            raise BadInput(f"series {name}: its column of splits has no step of {'train' if not found[0] else 'test'}")
        if not found[1]:
            found[1] = min(found[2], found[0] // 2)
            found[0] -= found[1]
        counts.append(found.cumsum())
    return Cut(*np.asarray(counts).T)


def season_of(values: Sequence[np.ndarray]) -> int:
    """The period that the training stretches `(steps, features)` repeat after, by autocorrelation; 1 if there is none.

    Of the differences from step to step, so that a trend does not look like a season; the lag with the highest
    autocorrelation wins if that is above 0.3, which chance exceeds in a hundred steps once in a thousand times.
    """
    curves = []
    shortest = min(len(each) for each in values)
    lags = min(LARGEST_WINDOW, (shortest - 1) // 2)
    if lags < 3:
        return 1
    for each in values[:32]:
        changes = np.diff(each, axis=0)
        changes = changes - changes.mean(axis=0)
        size = 2 ** int(np.ceil(np.log2(2 * len(changes))))
        power = np.abs(np.fft.rfft(changes, size, axis=0)) ** 2
        correlation = np.fft.irfft(power, axis=0)[: lags + 1]
        counts = (len(changes) - np.arange(lags + 1))[:, None] / len(changes)
        curves.append((correlation / np.maximum(correlation[0], 1e-12) / counts).T)
    mean = np.concatenate(curves).mean(axis=0)
    inner = np.arange(2, lags)
    peaks = inner[(mean[inner] >= mean[inner - 1]) & (mean[inner] >= mean[inner + 1]) & (mean[inner] > 0.3)]
    if not len(peaks):
        return 1
    return int(peaks[mean[peaks] >= 0.75 * mean[peaks].max()][0])  # not a multiple of the season


def window_of(shortest: int, season: int, horizon: int) -> int:
    """How many steps a forecast looks back, from the shortest training stretch.

    A quarter of it, whole seasons if that holds one, at most `LARGEST_WINDOW`, so that three quarters are left to
    begin windows in.
    """
    window = max(2, min(LARGEST_WINDOW, shortest // 4, shortest - horizon))
    return window // season * season if window >= season else window
