"""Split examples into training, validation and test sets, stratified by class, with a seed of their own."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

SPLITS = ("train", "validation", "test")
TEST = 0.2  # share of all examples, for sources without an official test set


def split_examples(
    labels: ArrayLike,
    official: Sequence[str | None],
    tracks: Sequence[str | None],
    validation: float,
    seed: int,
    classes: Sequence[str],
) -> dict[str, np.ndarray]:
    """The ascending indices of `train`, `validation` and `test`.

    If there is an official test set, it is used, and `validation` is a share of the rest. Otherwise the test set is
    20 % of all examples, and `validation` is a share of all. Examples of one track, which show the same object, stay
    in one split.

    Raises:
        ValueError: a class has too few examples for three splits.
    """
    labels_of = np.asarray(labels)
    everything = np.arange(len(labels_of))
    random = np.random.default_rng(seed)

    def draw(indices: np.ndarray, share: float) -> np.ndarray:
        if any(tracks):
            return _draw_tracks(indices, labels_of, tracks, share, random)
        return _draw(indices, labels_of, share, random)

    if any(official):
        testing = np.asarray([split == "test" for split in official])
        test, rest = everything[testing], everything[~testing]
        share = validation
    else:
        _refuse_small_classes(labels_of, classes)
        test = draw(everything, TEST)
        rest = np.setdiff1d(everything, test)
        share = validation / (1 - TEST)
    held_out = draw(rest, share)
    return {"train": np.setdiff1d(rest, held_out), "validation": held_out, "test": test}


def _refuse_small_classes(labels: np.ndarray, classes: Sequence[str]) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    small = [f"{classes[label]!r} ({count})" for label, count in enumerate(counts) if count < 3]
    if small:
        raise ValueError(f"classes with fewer than 3 examples cannot be in every split: {', '.join(small)}; add some")


def _draw(indices: np.ndarray, labels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Draw `share` of the indices of each class, at least one."""
    drawn = []
    for label in np.unique(labels[indices]):
        members = indices[labels[indices] == label]
        drawn.append(random.permutation(members)[: max(1, round(len(members) * share))])
    return np.sort(np.concatenate(drawn))


def _draw_tracks(
    indices: np.ndarray, labels: np.ndarray, tracks: Sequence[str | None], share: float, random: np.random.Generator
) -> np.ndarray:
    """Draw whole tracks until `share` of each class is drawn; at least one track per class is left for training."""
    drawn: list[int] = []
    for label in np.unique(labels[indices]):
        members = indices[labels[indices] == label]
        by_track: dict[str | None, list[int]] = {}
        for index in members:
            by_track.setdefault(tracks[index], []).append(int(index))
        names = [list(by_track)[i] for i in random.permutation(len(by_track))]
        held_out: list[int] = []
        for name in names[:-1]:
            if len(held_out) >= len(members) * share:
                break
            held_out += by_track[name]
        drawn += held_out
    return np.sort(np.asarray(drawn, dtype=np.int64))
