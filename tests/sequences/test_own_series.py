"""A user's time series in every form: the same data, in the user's own splits, or a message that says what is wrong."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from own_pictures import MIRROR

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.tensor_files import load_tensors
from quartet.artifacts.writing import read_json, write_json
from quartet.sequences.loading import load_sequences
from quartet.sequences.preparation import prepare_sequences
from quartet.sequences.settings import Columns, PreprocessSequences
from quartet.sequences.sources import download_sequences

SPLITS = ("train", "validation", "test")


def prepare(folder, source, **settings):
    write_json(folder / "raw/manifest.json", download_sequences(source, Fetching(), folder / "raw"))
    return prepare_sequences(folder / "raw", folder / "processed", PreprocessSequences(**settings))


def arrays(folder):
    return {split: (folder / f"processed/{split}.safetensors").read_bytes() for split in SPLITS}


def refused(folder, source, **settings):
    with pytest.raises(BadInput) as error:
        prepare(folder, source, **settings)
    return str(error.value)


def series(count=30, features=("feature 1", "feature 2"), seed=0, steps=(4, 9)):
    """Rows of noisy series of different lengths, in two classes."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"s{number:03}", step, ("down", "up")[number % 2], *(rng.normal(size=len(features)) + step * (number % 2)))
        for number in range(count)
        for step in range(rng.integers(*steps))
    ]
    return pd.DataFrame(rows, columns=["series", "step", "label", *features])


def csv(folder, data):
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / "own.csv", index=False)
    return f"csv:{folder / 'own.csv'}"


def ts(path, data, header="@problemName own\n@timeStamps false\n@classLabel true down up\n", goal="label"):
    lines = []
    for _, one in data.groupby("series"):
        columns = [one[name] for name in data if name.startswith("feature")]
        parts = [",".join("?" if np.isnan(value) else repr(float(value)) for value in column) for column in columns]
        lines.append(":".join([*parts, str(one[goal].iloc[0])]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# a comment\n\n" + header + "@data\n" + "\n".join(lines) + "\n")


def with_splits(data):
    last = data["series"] >= "s020"
    return data.assign(split=np.where(last, "TEST", "train"))


def test_csv_parquet_and_ts_give_the_same_bytes_whatever_the_order_of_the_rows(tmp_path):
    data = with_splits(series())
    infos = [prepare(tmp_path / "csv", csv(tmp_path / "a", data))]
    shuffled = data.sample(frac=1, random_state=1)
    infos.append(prepare(tmp_path / "shuffled", csv(tmp_path / "b", shuffled)))
    shuffled.to_parquet(tmp_path / "own.parquet")
    infos.append(prepare(tmp_path / "parquet", f"parquet:{tmp_path / 'own.parquet'}"))
    for part in ("train", "TEST"):
        ts(tmp_path / f"own_{part.upper()}.ts", data[data["split"] == part])
    infos.append(prepare(tmp_path / "ts", f"ts:{tmp_path / 'own'}"))
    first = arrays(tmp_path / "csv")
    assert all(arrays(tmp_path / form) == first for form in ("shuffled", "parquet", "ts"))
    assert len({info.pop("source") for info in infos}) == 4
    for info in infos[1:]:
        assert info == infos[0]
    assert infos[0]["counts"]["test"] == 10


def test_series_may_be_named_and_ordered_in_any_way(tmp_path):
    data = series()
    names = {name: f"{number * 7919 % 1000}" for number, name in enumerate(data["series"].unique())}
    first = prepare(tmp_path / "first", csv(tmp_path / "a", data))
    other = prepare(tmp_path / "other", csv(tmp_path / "b", data.assign(series=data["series"].map(names))))
    assert arrays(tmp_path / "first") == arrays(tmp_path / "other") and first["sha256"] == other["sha256"]


def test_steps_may_be_times(tmp_path):
    data = series()
    times = pd.Timestamp("2026-11-28T23:59:30") + pd.to_timedelta(data["step"] * 7, unit="s")
    prepare(tmp_path / "numbers", csv(tmp_path / "a", data))
    shuffled = data.assign(step=times.map(lambda time: time.isoformat())).sample(frac=1, random_state=1)
    prepare(tmp_path / "times", csv(tmp_path / "b", shuffled))
    data.assign(step=times).to_parquet(tmp_path / "own.parquet")
    prepare(tmp_path / "parquet", f"parquet:{tmp_path / 'own.parquet'}")
    assert arrays(tmp_path / "numbers") == arrays(tmp_path / "times") == arrays(tmp_path / "parquet")
    wrong = data.assign(step=["28.11.2026", *times[1:].map(str)])
    assert "row 2: step '28.11.2026' is not a time such as" in refused(tmp_path / "wrong", csv(tmp_path / "c", wrong))


def test_steps_with_a_decimal_comma_are_numbers(tmp_path):
    data = series(steps=(4, 9))
    prepare(tmp_path / "numbers", csv(tmp_path / "a", data))
    halves = data.assign(step=[f"{1998 + step // 2},5" if step % 2 else f"{1998 + step // 2}" for step in data["step"]])
    for name in ("feature 1", "feature 2"):
        halves[name] = [repr(value).replace(".", ",") for value in data[name].tolist()]
    prepare(tmp_path / "halves", csv(tmp_path / "b", halves), decimal="comma")
    assert arrays(tmp_path / "numbers") == arrays(tmp_path / "halves")
    wrong = data.assign(step=[*data["step"][:-1].map(str), "x"])
    assert "step 'x' is not a number" in refused(tmp_path / "wrong", csv(tmp_path / "c", wrong))


def test_a_column_of_the_settings_that_is_not_there_is_named(tmp_path):
    numbers = series().assign(Group=lambda rows: rows["series"].str[1:].astype(float))
    assert prepare(tmp_path / "numbers", csv(tmp_path / "a", numbers))["features"] == 3
    kept = prepare(tmp_path / "kept", csv(tmp_path / "b", numbers.rename(columns={"Group": "group"})))
    free = prepare(
        tmp_path / "free",
        csv(tmp_path / "b", numbers.rename(columns={"Group": "group"})),
        columns=Columns(group="none"),
    )
    assert kept["features"] == 2 and free["features"] == 3  # a group, and a feature that is called so
    message = refused(tmp_path, csv(tmp_path, series()), columns=Columns(group="patient"))
    assert "has no column patient, which preprocess.sequences.columns.group names; its columns are series" in message


def test_numbers_as_steps_are_sorted_as_numbers(tmp_path):
    data = series(steps=(12, 14))
    prepare(tmp_path / "sorted", csv(tmp_path / "a", data))
    prepare(tmp_path / "as_text", csv(tmp_path / "b", data.sort_values(["series", "step"], key=lambda x: x.map(str))))
    assert arrays(tmp_path / "sorted") == arrays(tmp_path / "as_text")


def test_the_names_of_columns_are_settings(tmp_path):
    data = with_splits(series()).assign(patient=lambda rows: rows["series"])
    prepare(tmp_path / "ours", csv(tmp_path / "a", data.rename(columns={"patient": "group"})))
    theirs = {"series": "id", "step": "t", "label": "class", "split": "part"}
    columns = Columns(**theirs, group="patient")
    prepare(tmp_path / "theirs", csv(tmp_path / "b", data.rename(columns=theirs)), columns=columns)
    assert arrays(tmp_path / "ours") == arrays(tmp_path / "theirs")


def test_a_column_split_is_kept_and_must_not_change_within_a_series(tmp_path):
    data = with_splits(series())
    info = prepare(tmp_path / "own", csv(tmp_path / "a", data), splits="own")
    assert info["counts"]["test"] == 10 and info["splits"]["drawn"] == ["validation"]
    wrong = data.assign(split=["test", *data["split"][1:]])
    assert "split 'train' differs from the first step" in refused(tmp_path / "b", csv(tmp_path / "b", wrong))
    wrong = data.assign(split=["holdout", *data["split"][1:]])
    assert "row 2: split 'holdout' is none of train" in refused(tmp_path / "c", csv(tmp_path / "c", wrong))


def test_a_group_is_never_in_two_splits(tmp_path):
    data = series(60)
    data["group"] = data["series"].map(lambda name: f"patient {int(name[1:]) // 4}")
    info = prepare(tmp_path / "drawn", csv(tmp_path / "a", data))
    assert info["splits"]["groups"] == 15 and all(count % 4 == 0 for count in info["counts"].values())
    cut = with_splits(data).assign(group=data["group"].replace("patient 7", "patient 1"))
    message = refused(tmp_path / "cut", csv(tmp_path / "b", cut))
    assert "group 'patient 1' is in " in message and "own.csv: " in message


def test_targets_are_kept_as_numbers(tmp_path):
    data = series().drop(columns="label")
    data["target"] = data["series"].map(lambda name: int(name[1:]) * 1.5 + 5e6)
    info = prepare(tmp_path / "csv", csv(tmp_path / "a", data))
    ts(tmp_path / "own.ts", data, "@targetLabel true\n", "target")
    prepare(tmp_path / "ts", f"ts:{tmp_path / 'own.ts'}")
    assert arrays(tmp_path / "csv") == arrays(tmp_path / "ts") and info["classes"] == []
    kept = [load_tensors(tmp_path / f"csv/processed/{split}.safetensors")["targets"] for split in SPLITS]
    assert sorted(torch.cat(kept).tolist()) == sorted(set(data["target"]))
    assert info["task"] == "numbers" and info["task_reason"] == "each series has a number to predict"
    train = load_sequences(tmp_path / "csv/processed", "train").labels
    assert info["target_mean"] == pytest.approx(train.mean().item()) and len(info["quintiles"]) == 4
    both = data.assign(label="up")
    assert "a series has one or the other" in refused(tmp_path / "both", csv(tmp_path / "b", both))


def parsed_by_hand(path):
    """Labels and lengths of a `.ts` file, read without our code."""
    lines = path.read_text().lower().partition("@data")[2].split("\n")
    cut = [line.strip().split(":") for line in lines if line.strip()]
    return Counter(parts[-1] for parts in cut), sum(len(parts[0].split(",")) for parts in cut)


def check_official_splits(info, folder, pair):
    (train, train_steps), (test, test_steps) = (parsed_by_hand(path) for path in pair)
    classes = [name.lower() for name in info["classes"]]
    kept = {split: load_sequences(folder / "processed", split) for split in SPLITS}

    def labels(*splits):
        return Counter(classes[label] for split in splits for label in kept[split].labels.tolist())

    assert labels("test") == test and labels("train", "validation") == train
    assert int(kept["test"].lengths.sum()) == test_steps
    assert int(kept["train"].lengths.sum() + kept["validation"].lengths.sum()) == train_steps


@pytest.mark.parametrize("features", [("feature 1",), ("feature 1", "feature 2", "feature 3")])
@pytest.mark.parametrize("steps", [(6, 7), (3, 12)])
def test_the_two_parts_of_the_archive_are_the_splits(tmp_path, features, steps):
    pair = [tmp_path / "own_TRAIN.ts", tmp_path / "own_TEST.ts"]
    for seed, (path, count) in enumerate(zip(pair, (24, 31), strict=True)):
        ts(path, series(count, features, seed, steps))
    info = prepare(tmp_path / "ts", f"ts:{tmp_path / 'own'}", splits="own")
    assert info["features"] == len(features)
    check_official_splits(info, tmp_path / "ts", pair)


@pytest.mark.skipif(not (MIRROR / "ucr").exists(), reason="the real data beside the checkout is absent")
@pytest.mark.parametrize("name", ["GunPoint", "JapaneseVowels"])
def test_official_splits_of_the_real_archive_are_kept(tmp_path, name):
    pair = [MIRROR / f"ucr/{name}_{part}.ts" for part in ("TRAIN", "TEST")]
    info = prepare(tmp_path / "ts", f"ts:{MIRROR / 'ucr' / name}", missing="previous")
    check_official_splits(info, tmp_path / "ts", pair)


def test_missing_values_of_a_ts_file_follow_the_setting(tmp_path):
    data = series()
    data.loc[3, "feature 2"] = np.nan
    ts(tmp_path / "own.ts", data)
    source = f"ts:{tmp_path / 'own.ts'}"
    message = refused(tmp_path / "error", source)
    assert "feature 2 is empty at step 4 (1 empty in all)" in message and "missing" in message
    prepare(tmp_path / "ts", source, missing="previous")
    prepare(tmp_path / "csv", csv(tmp_path / "a", data), missing="previous")
    assert arrays(tmp_path / "ts") == arrays(tmp_path / "csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3:4,5:up", r"line 9: its features have \[2, 3\] values"),
        ("1,2:up", "line 9: has 1 features, the first series 2"),
        ("1,x:2,3:up", "line 9: 'x' is not a number"),
        ("1,2:2,3:left", "line 9: class 'left' is not among those of @classLabel"),
        ("1,1e39:2,3:up", "line 9: 1e39 is beyond"),
    ],
)
def test_a_malformed_line_of_a_ts_file_is_named(tmp_path, line, message):
    ts(tmp_path / "own.ts", series(2))
    with (tmp_path / "own.ts").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadInput, match=message):
        prepare(tmp_path / "ts", f"ts:{tmp_path / 'own.ts'}")


def test_one_part_of_a_pair_alone_is_refused_by_the_name_of_the_other(tmp_path):
    ts(tmp_path / "own_TRAIN.ts", series())
    with pytest.raises(BadInput, match=r"own_TEST\.ts beside it"):
        prepare(tmp_path / "ts", f"ts:{tmp_path / 'own'}")


@pytest.mark.parametrize("offset", [1.7e12, 5412345.0])  # milliseconds since 1970, a northing of UTM
def test_a_large_offset_hides_nothing(tmp_path, offset):
    data = series(features=("near",))  # whose splits do not depend on the numbers
    data["split"] = data["series"].map(lambda name: ("test", "val", "train")[min(int(name[1:]) // 5, 2)])
    info = prepare(tmp_path / "near", csv(tmp_path / "a", data))
    far = prepare(tmp_path / "far", csv(tmp_path / "b", data.assign(near=data["near"] + offset)))
    assert far["mean"][0] - offset == pytest.approx(info["mean"][0], abs=1e-3)
    assert far["std"][0] == pytest.approx(info["std"][0], rel=1e-3)
    kept = load_tensors(tmp_path / "far/processed/train.safetensors")["values"]
    assert len(kept.unique()) > 0.9 * len(kept)


def test_copies_of_a_series_share_a_split_and_are_counted(tmp_path):
    data = series(20)
    data = pd.concat([data.assign(series=data["series"] + f" copy {number}") for number in range(3)])
    info = prepare(tmp_path / "own", csv(tmp_path / "a", data))
    assert info["splits"]["copies"] == 40 and info["splits"]["copies_in_two_splits"] == []
    assert all(count % 3 == 0 for count in info["counts"].values())
    assert read_json(tmp_path / "own/processed/info.json")["splits"] == info["splits"]
