"""The rule of the splits: what the source says stays, the rest is drawn from train and never drawn apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.artifacts.errors import BadInput
from quartet.datasets.splits import SPLITS, Examples, split_examples, split_name


def examples(labels, own=None, groups=None, contents=None):
    names = [f"example {number}" for number in range(len(labels))]
    classes = [f"class {label}" for label in range(max(labels) + 1)]
    return Examples(labels, classes, names, own, groups, contents)


def split(found, how="auto", seed=0):
    return split_examples(found, how, 0.1, seed)


def split_of_each(splits, count):
    of = [None] * count
    for name, indices in splits.indices.items():
        for index in indices.tolist():
            assert of[index] is None, "in two splits"
            of[index] = name
    return of


def counts(splits):
    return {name: len(indices) for name, indices in splits.indices.items()}


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Training", " TRAIN "]),
        ("validation", ["val", "valid", "Validation", "dev", "DEV"]),
        ("test", ["test", "Testing"]),
        (None, ["", "holdout", "2023", "tests"]),
    ],
)
def test_splits_have_the_names_that_people_give_them(split, names):
    assert {split_name(name) for name in names} == {split}


def test_without_own_splits_each_class_is_drawn_70_10_20():
    labels = [0] * 100 + [1] * 50
    splits = split(examples(labels))
    assert counts(splits) == {"train": 105, "validation": 15, "test": 30}
    assert splits.report["classes"] == {"train": [70, 35], "validation": [10, 5], "test": [20, 10]}
    assert "drawn at random, class by class" in splits.report["origin"]


def test_own_splits_stay_as_they_are():
    own = ["test", "train", "train", "validation", "train", "test"]
    splits = split(examples([0, 0, 1, 1, 0, 1], own), "own")
    assert split_of_each(splits, 6) == own and splits.report["drawn"] == []


def test_what_the_source_leaves_out_is_drawn_from_train_alone():
    own = ["train"] * 80 + ["test"] * 40
    splits = split(examples([0, 1] * 60, own))
    assert splits.indices["test"].tolist() == list(range(80, 120))
    assert splits.report["classes"]["validation"] == [4, 4] and splits.report["drawn"] == ["validation"]
    own = ["train"] * 80 + ["validation"] * 40
    splits = split(examples([0, 1] * 60, own))
    assert splits.indices["validation"].tolist() == list(range(80, 120))
    assert splits.report["classes"]["test"] == [8, 8] and "test drawn from train" in splits.report["origin"]


def test_an_example_of_which_nothing_is_said_trains():
    splits = split(examples([0, 1] * 4, [None, None, "test", "test", "validation", "validation", "train", "train"]))
    assert splits.indices["train"].tolist() == [0, 1, 6, 7]


def test_random_pools_what_the_source_splits():
    own = ["train"] * 50 + ["test"] * 50
    splits = split(examples([0, 1] * 50, own), "random")
    assert counts(splits) == {"train": 70, "validation": 10, "test": 20}
    assert set(splits.indices["test"]) & set(range(50))


def test_own_insists_on_train_and_test():
    with pytest.raises(BadInput, match=r"own train and test examples; found are none"):
        split(examples([0, 1] * 50), "own")
    with pytest.raises(BadInput, match=r"found are train, validation"):
        split(examples([0, 1] * 50, ["train", "validation"] * 50), "own")


def test_the_seed_alone_decides_what_is_drawn():
    found = examples([0, 1] * 100)
    first, again, other = (split_of_each(split(found, seed=seed), 200) for seed in (3, 3, 4))
    assert first == again != other


def test_groups_stay_whole_and_are_counted():
    groups = [f"patient {number // 5}" for number in range(200)]
    splits = split(examples([number // 5 % 2 for number in range(200)], groups=groups))
    of = split_of_each(splits, 200)
    assert len(set(zip(groups, of, strict=True))) == 40 == splits.report["groups"]
    assert all(min(held) > 0 for held in splits.report["classes"].values())


def test_a_group_that_own_splits_cut_in_two_is_refused_by_its_name():
    found = examples([0, 1, 0, 1], ["train", "train", "test", "test"], ["anna", "bert", "anna", None])
    with pytest.raises(BadInput, match=r"group 'anna' is in train and in test.*splits: random"):
        split(found)


def test_a_class_that_only_test_knows_is_refused_by_its_name():
    found = examples([0, 0, 1, 1, 2, 0], ["train", "train", "train", "validation", "test", "test"])
    with pytest.raises(BadInput, match=r"no training example for 'class 2', which test has"):
        split(found)


def test_nothing_to_train_on_is_refused():
    with pytest.raises(BadInput, match="nothing to train on: all examples are in test or validation"):
        split(examples([0, 1, 0, 1], ["test", "test", "validation", "validation"]))


def test_classes_too_small_for_every_split_are_refused_by_their_names():
    with pytest.raises(BadInput, match=r"fewer than 3 examples.*'class 1' \(2\)"):
        split(examples([0] * 9 + [1] * 2))


def test_copies_share_a_split_that_is_drawn():
    contents = [f"content {number // 5}" for number in range(200)]
    splits = split(examples([number // 5 % 2 for number in range(200)], contents=contents))
    assert len(set(zip(contents, split_of_each(splits, 200), strict=True))) == 40
    assert splits.report["copies"] == 160 and splits.report["copies_in_two_splits"] == []
    assert "160 exact copies of other examples" in splits.report["warnings"]


def test_copies_across_own_splits_stay_there_and_are_counted_and_named():
    own = ["train", "train", "validation", "validation", "test", "test"]
    splits = split(examples([0, 1] * 3, own, contents=["a", "b", "c", "d", "a", "e"]))
    assert split_of_each(splits, 6) == own and splits.report["copies"] == 1
    assert splits.report["copies_in_two_splits"] == ["example 0 (train) = example 4 (test)"]
    assert any("in two splits, 1 times: example 0 (train)" in line for line in splits.report["warnings"])


def test_one_content_in_two_classes_is_named():
    contents = ["same", "same", *map(str, range(18))]
    splits = split(examples([0, 1] * 10, contents=contents))
    assert splits.report["copies_in_two_classes"] == ["example 0 (class 0) = example 1 (class 1)"]


def test_a_class_that_a_split_lacks_is_said():
    own = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    splits = split(examples([0, 1, 0, 1, 0, 1, 0, 0], own))
    assert splits.report["warnings"] == ["test has no example of 'class 1'"]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.none() | st.integers(0, 8), st.none() | st.integers(0, 30)), max_size=60
    ),
    own_test=st.booleans(),
    seed=st.integers(0, 9),
)
def test_whatever_is_split_each_example_has_one_split_and_what_belongs_together_stays(rows, own_test, seed):
    rows += [(label, None, None) for label in (0, 1, 2) for _ in range(4)]
    labels, groups, contents = zip(*rows, strict=True)
    groups, contents = (
        [None if key is None else f"{kind} {key}" for key in keys]
        for kind, keys in (("group", groups), ("content", contents))
    )
    own = None
    if own_test:  # alone, so that it cuts no group
        labels, groups, contents = [*labels, 0], [*groups, None], [*contents, "official"]
        own = [*["train"] * len(rows), "test"]
    splits = split(examples(list(labels), own, groups, contents), seed=seed)
    of = split_of_each(splits, len(labels))
    assert None not in of and set(of) <= set(SPLITS)
    for keys in (groups, contents):
        together = {}
        for key, name in zip(keys, of, strict=True):
            if key is not None:
                together.setdefault(key, set()).add(name)
        assert all(len(names) == 1 for names in together.values())
    assert {label for label, name in zip(labels, of, strict=True) if name == "train"} == {0, 1, 2}
    assert all(np.all(np.diff(indices) > 0) for indices in splits.indices.values())


@given(st.lists(st.integers(1, 40), min_size=3, max_size=30), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_large_group_does_not_swallow_the_split(sizes, seed):
    groups = [f"group {number}" for number, size in enumerate(sizes) for _ in range(size)]
    splits = split(examples([0] * len(groups), groups=groups), seed=seed)
    held, wanted = len(splits.indices["test"]), 0.2 * len(groups)
    assert 0 < held <= max(min(sizes), 2 * wanted)
    of = dict(zip(groups, split_of_each(splits, len(groups)), strict=True))
    assert [of[group] for group in groups] == split_of_each(splits, len(groups))


def test_what_can_be_drawn_is_found_beside_what_cannot():
    """One recording has all of a class; the others, all too large for the share, have the rest."""
    labels = [0] * 30 + [1] * 9 + [0] * 70
    groups = ["p1"] * 39 + ["p2"] * 35 + ["p3"] * 35
    own = ["train"] * 109 + ["test"] * 2
    for seed in range(5):
        splits = split(examples([*labels, 0, 1], own, [*groups, "t1", "t2"]), seed=seed)
        assert counts(splits) == {"train": 74, "validation": 35, "test": 2}


def test_small_classes_are_no_large_groups():
    splits = split(examples([label for label in range(15) for _ in range(4)]))
    assert counts(splits) == {"train": 30, "validation": 15, "test": 15}
    assert not [line for line in splits.report["warnings"] if "groups" in line]


def test_splits_that_groups_make_uneven_are_said():
    groups = ["patient A"] * 900 + [f"patient {number // 10}" for number in range(30)]
    for seed in range(20):
        splits = split(examples([0] * 930, groups=groups), seed=seed)
        assert counts(splits) == {"train": 900, "validation": 10, "test": 20}
        assert "test has 20 examples, not about 186: groups or copies are large" in splits.report["warnings"]
