"""Which examples train, which validate and which test: one rule for all families.

What the source says stays. What it leaves out is drawn from the training examples, class by class, with a seed of its
own. Examples of one group, and exact copies of one example, are never drawn apart.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from quartet.artifacts.errors import NAMED, BadInput, listed

SPLITS = ("train", "validation", "test")
TEST = 0.2  # share that is drawn as test set
NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclasses.dataclass(frozen=True)
class Examples:
    """What decides on the splits, a value per example.

    Attributes:
        labels: numbers of the classes; all the same where there are no classes.
        classes: their names.
        names: what messages call each example.
        own: `train`, `validation` or `test` where the source says so; None if it says nothing.
        groups: what an example shows or who made it, where that is known.
        contents: equal for exact copies, for example checksums; None for an example that equals no other.
    """

    labels: ArrayLike
    classes: Sequence[str]
    names: Sequence[str]
    own: Sequence[str | None] | None = None
    groups: Sequence[str | None] | None = None
    contents: Sequence[str | bytes | None] | None = None


@dataclasses.dataclass(frozen=True)
class Splits:
    """Ascending indices of the examples of each split, and what there is to say about them."""

    indices: dict[str, np.ndarray]
    report: dict

    def print(self, source: str) -> None:
        """Say how the examples were split, and what is odd about it."""
        print_report(source, self.report)


def print_report(source: str, report: Mapping) -> None:
    """Say how examples were split, and what is odd about it."""
    for line in (report["origin"], *report["warnings"]):
        print(f"{source}: {line}", flush=True)


def split_name(name: str) -> str | None:
    """`train`, `validation` or `test` for the names that people give them, in any case; None for another."""
    return NAMES.get(name.strip().lower())


def split_examples(examples: Examples, how: str, validation: float, seed: int, test: float = TEST) -> Splits:
    """Split by the rule above.

    Args:
        examples: what the rule goes by.
        how: `auto` keeps the source's own splits where it has some; `own` insists on them; `random` draws all anew.
        validation: share to draw for validation: of the training examples if the test set is the source's own, else
            of all.
        seed: of the drawing.
        test: share of all to draw as test set.

    Raises:
        BadInput: there are no own splits to keep, they cut a group in two, or leave nothing to train on; a class is
            unknown to training or too small to be in every split.
    """
    labels = np.asarray(examples.labels)
    own = own_splits(examples, how)
    clusters = _clusters(len(labels), examples.groups, examples.contents)
    given = {name: np.flatnonzero(own == name) for name in SPLITS}
    drawn = [name for name in ("test", "validation") if not len(given[name])]
    random = np.random.default_rng(seed)
    if drawn and not examples.groups:
        _refuse_small_classes(labels[given["train"]], examples.classes, drawn)
    share = {"test": test, "validation": validation / (1 - test) if "test" in drawn else validation}
    uneven = []
    for name in drawn:
        pool, wanted = given["train"], share[name] * len(given["train"])
        kept = len(drawn) - drawn.index(name)  # one for train, and one for each split that is still to be drawn
        given[name] = _draw(pool, labels, clusters, share[name], random, kept)
        given["train"] = np.setdiff1d(pool, given[name])
        are_whole = len(np.unique(clusters[pool])) < len(pool)
        if are_whole and abs(len(given[name]) - wanted) > max(5, wanted / 2):
            uneven.append(
                f"{name} has {len(given[name]):,} examples, not about {wanted:,.0f}: groups or copies are large"
            )
    _refuse_empty_splits(given)
    _refuse_unknown_classes(labels, given, examples.classes)
    report = describe_splits(examples, given, drawn)
    return Splits(given, {**report, "warnings": [*report["warnings"], *uneven]})


def describe_splits(examples: Examples, splits: dict[str, np.ndarray], drawn: Sequence[str]) -> dict:
    """What there is to say about the examples of each split, of which `drawn` names those that were drawn."""
    labels = np.asarray(examples.labels)
    report = {
        "origin": _origin(splits, drawn, examples.classes),
        "drawn": list(drawn),
        "classes": {
            name: np.bincount(labels[splits[name]], minlength=len(examples.classes)).tolist() for name in SPLITS
        },
        "groups": None if examples.groups is None else len({group for group in examples.groups if group is not None}),
        **_copies(examples, splits),
    }
    report["warnings"] = _warnings(report, examples.classes)
    return report


def own_splits(examples: Examples, how: str) -> np.ndarray:
    """The split of each example as the source says; `train` for all if it does not, or `how` is `random`.

    Raises:
        BadInput: `how` is `own` and there are no own splits; they cut a group in two, or leave nothing to train on.
    """
    count = len(np.asarray(examples.labels))
    said = set() if examples.own is None else {name for name in examples.own if name}
    if how == "own" and not {"train", "test"} <= said:
        found = ", ".join(sorted(said)) or "none"
        raise BadInput(f"`splits: own` takes a source with its own train and test examples; found are {found}")
    if how == "random" or not said:
        return np.full(count, "train", dtype=object)
    if "train" not in said:
        raise BadInput(f"there is nothing to train on: all examples are in {' or '.join(sorted(said))}")
    own = np.asarray([name or "train" for name in examples.own or ()], dtype=object)
    _refuse_cut_groups(own, examples.groups)
    return own


def _refuse_cut_groups(own: np.ndarray, groups: Sequence[str | None] | None) -> None:
    seen: dict[str, str] = {}
    for group, split in zip(groups or (), own, strict=False):
        if group is not None and seen.setdefault(group, split) != split:
            raise BadInput(
                f"group {group!r} is in {seen[group]} and in {split}: what trains on a part of it knows the rest. "
                "Put it into one split, or set `splits: random`"
            )


def _clusters(
    count: int, groups: Sequence[str | None] | None, contents: Sequence[str | bytes | None] | None
) -> np.ndarray:
    """A number for each example, the same for those that must stay together."""
    parent: dict[int, int] = {}  # of those that are not alone

    def root(index: int) -> int:
        while (above := parent.get(index, index)) != index:
            parent[index] = parent.get(above, above)
            index = parent[index]
        return index

    for keys in (groups, contents):
        first: dict[str | bytes, int] = {}
        for index, key in enumerate(keys or ()):
            if key is not None:
                a, b = root(first.setdefault(key, index)), root(index)
                if a != b:
                    parent[max(a, b)] = min(a, b)
    clusters = np.arange(count)
    for index in list(parent):
        clusters[index] = root(index)
    return clusters


def _draw(
    indices: np.ndarray, labels: np.ndarray, clusters: np.ndarray, share: float, random: np.random.Generator, kept: int
) -> np.ndarray:
    """About `share` of each class in `indices`, whole clusters, at least one; the last of a class is never drawn.

    A cluster that would take more beyond the share than is still missing is passed over; if that leaves nothing, the
    smallest one that can be is drawn. Once there is one, `kept` clusters of each class stay.
    """
    if len(np.unique(clusters[indices])) == len(indices):
        return _draw_singly(indices, labels, share, random)
    members: dict[int, list[int]] = {}  # by cluster
    for index in indices.tolist():
        members.setdefault(int(clusters[index]), []).append(index)
    # Of each class, how many examples are in each cluster and how many clusters are left.
    holding = {
        label: list(dict.fromkeys(clusters[indices[labels[indices] == label]].tolist()))
        for label in np.unique(labels[indices])
    }
    left = {label: len(names) for label, names in holding.items()}
    drawn: set[int] = set()
    for label, names in holding.items():
        sizes = {name: int((labels[members[name]] == label).sum()) for name in names}
        wanted = sum(sizes.values()) * share
        held = sum(size for name, size in sizes.items() if name in drawn)
        smallest = min(sizes.values())
        order = [names[place] for place in random.permutation(len(names))]
        # The large ones, in the order of their sizes, are for when nothing else can be drawn.
        for name in sorted(order, key=lambda name: max(sizes[name], 2 * wanted)):
            if held >= wanted or left[label] == 1 or (held and left[label] <= kept):
                break
            if held and held + smallest - wanted > wanted - held:
                break
            if name in drawn or (held and held + sizes[name] - wanted > wanted - held):
                continue
            inside = np.unique(labels[members[name]])
            if any(left[other] == 1 for other in inside):
                continue
            drawn.add(name)
            held += sizes[name]
            for other in inside:
                left[other] -= 1
    return np.sort(np.asarray([index for name in drawn for index in members[name]], dtype=np.int64))


def _draw_singly(indices: np.ndarray, labels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    drawn = []
    for label in np.unique(labels[indices]):
        members = indices[labels[indices] == label]
        count = min(max(1, round(len(members) * share)), len(members) - 1)
        drawn.append(random.permutation(members)[:count])
    return np.sort(np.concatenate(drawn))


def _refuse_small_classes(labels: np.ndarray, classes: Sequence[str], drawn: Sequence[str]) -> None:
    if len(drawn) < 2:
        return
    counts = np.bincount(labels, minlength=len(classes))
    small = [f"{classes[label]!r} ({count})" for label, count in enumerate(counts) if count < 3]
    if small:
        raise BadInput(f"classes with fewer than 3 examples cannot be in every split: {', '.join(small)}; add some")


def _refuse_empty_splits(splits: dict[str, np.ndarray]) -> None:
    empty = [name for name in SPLITS if not len(splits[name])]
    if empty:
        raise BadInput(
            f"nothing is left for {' and '.join(empty)}: the examples of each class are copies of one or of one group, "
            "which stay together; add others"
        )


def _refuse_unknown_classes(labels: np.ndarray, splits: dict[str, np.ndarray], classes: Sequence[str]) -> None:
    known = set(labels[splits["train"]].tolist())
    for name in ("validation", "test"):
        unknown = sorted(set(labels[splits[name]].tolist()) - known)
        if unknown:
            raise BadInput(
                f"no training example for {', '.join(repr(classes[label]) for label in unknown)}, which {name} has; "
                "add some, or remove the class"
            )


def _origin(splits: dict[str, np.ndarray], drawn: Sequence[str], classes: Sequence[str]) -> str:
    counts = ", ".join(f"{len(splits[name])} {name}" for name in SPLITS)
    if len(drawn) == 2:
        return f"{counts}: drawn at random{', class by class' if len(classes) > 1 else ''}"
    if not drawn:
        return f"{counts}: as the source says"
    kept = " and ".join(name for name in SPLITS if name not in drawn)
    return f"{counts}: {kept} as the source says, {drawn[0]} drawn from train"


def _copies(examples: Examples, splits: dict[str, np.ndarray]) -> dict:
    """How many examples equal another, and which of them are in two splits or in two classes."""
    labels = np.asarray(examples.labels)
    equal: dict[str | bytes, list[int]] = {}
    for index, content in enumerate(examples.contents or ()):
        if content is not None:
            equal.setdefault(content, []).append(index)
    several = [indices for indices in equal.values() if len(indices) > 1]

    def named(indices: list[int], of: Mapping[int, str]) -> str:
        return " = ".join(f"{examples.names[index]} ({of[index]})" for index in indices[:NAMED])

    copies = {index for indices in several for index in indices}
    split_of = {index: name for name, indices in splits.items() for index in copies.intersection(indices.tolist())}
    class_of = {index: str(examples.classes[labels[index]]) for index in copies}
    return {
        "copies": sum(map(len, several)) - len(several),
        "copies_in_two_splits": [named(each, split_of) for each in several if len({split_of[i] for i in each}) > 1],
        "copies_in_two_classes": [named(each, class_of) for each in several if len({class_of[i] for i in each}) > 1],
    }


def _warnings(report: dict, classes: Sequence[str]) -> list[str]:
    """What a reader of the scores should know."""
    found = []
    if report["copies"]:
        found.append(f"{_count(report['copies'], 'exact copy', 'exact copies')} of other examples")
    for key, where in (("copies_in_two_splits", "splits"), ("copies_in_two_classes", "classes")):
        if report[key]:
            found.append(f"the same content in two {where}, {len(report[key])} times: {listed(report[key], '; ')}")
    for name in ("validation", "test"):
        missing = [
            repr(classes[label])
            for label, (trains, count) in enumerate(
                zip(report["classes"]["train"], report["classes"][name], strict=True)
            )
            if trains and not count
        ]
        if missing:
            found.append(f"{name} has no example of {', '.join(missing)}")
    return found


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
