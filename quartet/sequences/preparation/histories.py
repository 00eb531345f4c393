"""Series over time that are to be continued, and how they are cut into train, validation and test by time."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from quartet.artifacts.errors import BadInput, listed
from quartet.datasets.reading.time_series import TimeSeries
from quartet.datasets.splits import SPLITS
from quartet.sequences.settings import PreprocessSequences

LARGEST_WINDOW = 512
VOTING = 64  # features of all series that say which season there is


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


def without_future(histories: Histories) -> Histories:
    """The series without the rows at their ends in which only what is known in advance has values: the future."""
    series, features = histories.series, len(histories.series.features) - histories.known
    empty = np.isnan(series.values[:, :features]).all(axis=1)
    if not (histories.known and empty.any()):
        return histories
    kept = np.ones(len(empty), bool)
    for end, length in zip(series.lengths.cumsum().tolist(), series.lengths.tolist(), strict=True):
        filled = np.flatnonzero(~empty[end - length : end])
        kept[end - length + (int(filled[-1]) + 1 if len(filled) else length) : end] = False
    lengths = np.add.reduceat(kept, series.lengths.cumsum() - series.lengths).astype(np.int64)
    note = f"{int((~kept).sum()):,} rows at the ends have only what is known in advance, and are not used"
    return dataclasses.replace(
        histories,
        series=dataclasses.replace(series, values=series.values[kept], lengths=lengths),
        own=None if histories.own is None else histories.own[kept],
        gaps=[*histories.gaps, *([note] if not kept.all() else [])],
    )


def cut_by_time(histories: Histories, settings: PreprocessSequences, horizon: int) -> Cut:
    """Cut every series by time, so that nothing of the future reaches training.

    The source's own splits count first, then the numbers of steps in the settings. Without either, test is the last
    `horizon` steps, and validation a share of what is before them, at least `horizon`.

    Raises:
        BadInput: a series is too short, or its own splits do not follow each other.
    """
    if histories.own is not None and settings.splits != "random":
        given = [name for name in ("train_steps", "validation_steps", "test_steps") if getattr(settings, name)]
        if given:
            raise BadInput(
                f"the table's own splits say which steps are test: set preprocess.sequences.{listed(given, ', .')} to "
                "null, or remove the column"
            )
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
    """The period that series `(steps, features)` repeat after, by autocorrelation; 1 if there is none.

    Of the differences from step to step, so that a trend does not look like a season. Each feature of each series, up
    to `VOTING` of them, is for its first peak that is nearly its highest, if that is above 0.3, which noise hardly
    reaches; the lag with the most correlation behind it wins.
    """
    votes: dict[int, float] = {}
    for feature in [column for each in values for column in each.T][:VOTING]:
        lags = min(LARGEST_WINDOW, (len(feature) - 1) // 2)
        if lags < 3:
            continue
        correlation = _autocorrelation(np.diff(feature), lags)
        inner = np.arange(2, lags)
        rising = correlation[inner] >= correlation[inner - 1]
        peaks = inner[rising & (correlation[inner] >= correlation[inner + 1]) & (correlation[inner] > 0.3)]
        if len(peaks):
            first = int(peaks[correlation[peaks] >= 0.75 * correlation[peaks].max()][0])  # no multiple of it
            votes[first] = votes.get(first, 0.0) + float(correlation[first])
    return max(votes, key=lambda lag: votes[lag]) if votes else 1


def _autocorrelation(series: np.ndarray, lags: int) -> np.ndarray:
    """The correlation of a series `(steps,)` with itself, 0 to `lags` steps later."""
    centred = series - series.mean()
    size = 2 ** int(np.ceil(np.log2(2 * len(centred))))
    products = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2)[: lags + 1]
    counts = (len(centred) - np.arange(lags + 1)) / len(centred)
    return products / max(float(products[0]), 1e-12) / counts


def window_of(shortest: int, season: int, horizon: int) -> int:
    """How many steps a forecast looks back, from the shortest training stretch.

    A quarter of it, whole seasons if that holds one, at most `LARGEST_WINDOW`, so that three quarters are left to
    begin windows in.
    """
    window = max(2, min(LARGEST_WINDOW, shortest // 4, shortest - horizon))
    return window // season * season if window >= season else window
