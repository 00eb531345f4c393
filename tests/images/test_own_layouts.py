"""A user's pictures as people keep them: class folders, folders of splits, tables and captions beside them."""

import csv
import io
import json
import os
import random
import re

import numpy as np
import pandas as pd
import pytest
from own_pictures import bring, draw, prepare
from PIL import Image

from quartet.artifacts.errors import BadInput
from quartet.artifacts.paths import PICTURE_INDEX
from quartet.datasets.images import load_images
from quartet.images.preparation.decoding import decode
from quartet.images.preparation.resizing import to_square
from quartet.images.settings import PreprocessImages
from quartet.images.training import plan as training

SPLITS = ("train", "validation", "test")


def pictures(folder, names, size=(8, 8)):
    """Pictures of noise, each another."""
    for number, name in enumerate(names):
        draw(folder / name, "L", size, seed=number)
    return folder


def class_folders(folder, count=5, size=(8, 8)):
    return pictures(folder, [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(count)], size)


def described(folder, rows, name="metadata.csv"):
    """A table of dictionaries in `folder`."""
    path = folder / name
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pd.DataFrame(rows).to_parquet(path)
    return folder


def index(tmp_path, source):
    """What is brought of `source`, by the name of the picture."""
    manifest = bring(tmp_path / "raw", source)
    table = pd.read_csv(tmp_path / "raw" / PICTURE_INDEX, keep_default_na=False)
    return manifest, {row["file"]: row for row in table.to_dict("records")}


def refused(tmp_path, source):
    with pytest.raises(BadInput) as error:
        bring(tmp_path / "raw", source)
    return str(error.value)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "VALID", "Testing"), ("TRAIN", "dev"), ("train", "test")]
)
def test_folders_of_splits_are_splits_in_any_case_and_by_any_name(tmp_path, names):
    for seed, name in enumerate(names):
        class_folders(tmp_path / "own" / name, 4 + seed)
    manifest, rows = index(tmp_path, f"folder:{tmp_path / 'own'}")
    assert manifest["classes"] == ["cat", "dog"]
    said = {name: {row["split"] for file, row in rows.items() if file.startswith(f"{name}/")} for name in names}
    meant = {"t": {"train"}, "v": {"validation"}, "d": {"validation"}}
    assert said == {name: {"test"} if "est" in name.lower() else meant[name[0].lower()] for name in names}


def test_folders_of_splits_keep_their_counts(tmp_path):
    for number, (name, count) in enumerate({"train": 8, "val": 4, "test": 3}.items()):
        class_folders(tmp_path / "own" / name, count, (8, 8 + number))
    info, _ = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    assert info["counts"] == {"train": 16, "validation": 8, "test": 6} and info["classes"] == ["cat", "dog"]
    assert info["splits"]["classes"]["test"] == [3, 3] and info["splits"]["drawn"] == []


def test_classes_that_only_look_like_splits_stay_classes(tmp_path):
    pictures(tmp_path / "own", [f"{label}/{number}.png" for label in ("test", "control") for number in range(3)])
    manifest, rows = index(tmp_path, f"folder:{tmp_path / 'own'}")
    assert manifest["classes"] == ["control", "test"] and {row["split"] for row in rows.values()} == {""}


def test_splits_without_class_folders_are_refused_with_what_is_expected(tmp_path):
    pictures(tmp_path / "own", [f"{split}/{number}.png" for split in ("train", "test") for number in range(3)])
    message = refused(tmp_path, f"folder:{tmp_path / 'own'}")
    assert "test, train hold pictures, but no folder per class" in message and "metadata.csv" in message


@pytest.mark.parametrize("tops", [("2023", "2024"), ("cam1", "cam2"), ("train", "holdout")])
def test_folders_that_can_be_read_in_two_ways_are_refused_with_both(tmp_path, tops):
    for top in tops:
        class_folders(tmp_path / "own" / top)
    message = refused(tmp_path, f"folder:{tmp_path / 'own'}")
    assert "can be read in two ways" in message
    assert f"the classes are {', '.join(sorted(tops))}" in message and "they are cat, dog" in message


@pytest.mark.parametrize("loose", ["unlabelled/1.png", "train/overview.png", "test/contact sheet.png"])
def test_a_loose_picture_does_not_make_classes_of_splits(tmp_path, loose):
    for top in ("train", "test"):
        class_folders(tmp_path / "own" / top)
    pictures(tmp_path / "own", [loose])
    message = refused(tmp_path, f"folder:{tmp_path / 'own'}")
    assert "can be read in two ways" in message or "hold pictures, but no folder per class" in message


def test_classes_may_hold_pictures_and_folders_of_pictures(tmp_path):
    names = [
        f"{label}/{place}{n}.png" for label in ("cat", "dog") for place in ("", "day/", "night/") for n in range(3)
    ]
    manifest, rows = index(tmp_path, f"folder:{pictures(tmp_path / 'own', [*names, 'bird/day/0.png'])}")
    assert manifest["classes"] == ["bird", "cat", "dog"] and len(rows) == 19


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "$RECYCLE.BIN"])
def test_folders_of_storage_programs_are_no_pictures(tmp_path, name):
    own = class_folders(tmp_path / "own")
    pictures(own, [f"cat/{name}/0.png/thumb.jpg", f"{name}/cat/._0.png"])
    manifest, rows = index(tmp_path, f"folder:{own}")
    assert manifest["classes"] == ["cat", "dog"] and len(rows) == 10


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    own = class_folders(tmp_path / "own")
    pictures(own, ["cat/2024/0.png"])
    scan = os.scandir

    def failing(path):
        if str(path).endswith("2024"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert re.search(r"cat/2024: cannot be read: Permission denied", refused(tmp_path, f"folder:{own}"))


def test_a_folder_around_the_classes_is_named(tmp_path):
    class_folders(tmp_path / "own/pets")
    assert f"give folder:{tmp_path / 'own/pets'}" in refused(tmp_path, f"folder:{tmp_path / 'own'}")


def test_one_class_spelled_in_two_ways_of_unicode_is_one_and_said(tmp_path, capsys):
    names = [f"{label}/{number}.png" for label in ("caf\u00e9", "cafe\u0301", "tea") for number in range(3)]
    pictures(tmp_path / "own", names)
    if len(list((tmp_path / "own").iterdir())) < 3:
        pytest.skip("this file system composes names")
    manifest, _ = index(tmp_path, f"folder:{tmp_path / 'own'}")
    assert manifest["classes"] == ["caf\u00e9", "tea"] and manifest["counts"]["files"] == 9
    assert "2 folders named 'caf\u00e9'" in capsys.readouterr().out


def test_a_class_of_pictures_that_cannot_be_read_says_which_and_how_to_convert(tmp_path):
    class_folders(tmp_path / "own")
    for number in range(6):
        (tmp_path / "own/mouse").mkdir(exist_ok=True)
        (tmp_path / f"own/mouse/IMG_{number}.HEIC").write_bytes(b"heic")
    message = refused(tmp_path, f"folder:{tmp_path / 'own'}")
    assert "mouse: no picture in it that can be read; it holds 6 × .HEIC" in message
    assert "Convert HEIC to JPEG" in message and ".png" in message


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_a_table_says_label_split_and_group(tmp_path, name):
    own = pictures(tmp_path / "own", [f"all/{number}.png" for number in range(6)])
    rows = [
        {"file_name": f"all/{n}.png", "label": "ab"[n % 2], "split": ["Train", "test"][n // 4], "group": f"g{n}"}
        for n in range(6)
    ]
    manifest, found = index(tmp_path, f"folder:{described(own, rows, name)}")
    assert manifest["classes"] == ["a", "b"] and "left_out" in manifest and manifest["left_out"] == {}
    row = found["all/5.png"]
    assert (row["label"], row["split"], row["group"]) == ("b", "test", "g5")


def test_a_table_may_lie_in_the_folder_of_each_split(tmp_path):
    for split in ("train", "test"):
        folder = pictures(tmp_path / "own" / split, ["0.png", "1.png"])
        described(folder, [{"file_name": f"{n}.png", "label": "ab"[n]} for n in range(2)])
    _, found = index(tmp_path, f"folder:{tmp_path / 'own'}")
    assert (found["train/1.png"]["label"], found["train/1.png"]["split"]) == ("b", "train")
    assert found["test/0.png"]["split"] == "test"


@pytest.mark.parametrize("column", ["text", "caption"])
def test_captions_of_a_table_are_kept(tmp_path, column):
    own = pictures(tmp_path / "own", [f"{number}.png" for number in range(8)])
    described(own, [{"file_name": f"{n}.png", column: f"a cat,  number {n}"} for n in range(8)])
    info, folder = prepare(tmp_path, images=f"folder:{own}")
    captions = pd.concat(pd.read_csv(folder / f"{split}.csv") for split in SPLITS)
    assert sorted(captions["caption"]) == [f"a cat, number {n}" for n in range(8)] and info["classes"] == []
    assert info["task"] == "captions" and info["captions"]["train"] == 5


def test_captions_beside_the_pictures_are_kept(tmp_path, capsys):
    own = pictures(tmp_path / "own", ["1.png", "2.png"])
    (own / "1.txt").write_text("a red\ncar\n")
    (own / "2.txt").write_text("the sea")
    _, found = index(tmp_path, f"folder:{own}")
    assert {name: row["caption"] for name, row in found.items()} == {"1.png": "a red car", "2.png": "the sea"}
    assert "the lines of 1.txt are one caption each" in capsys.readouterr().out
    (own / "2.txt").write_bytes(b"the\r\nsea\r\n \r\nwater\r\n\r\nwater\r\n")
    _, found = index(tmp_path, f"folder:{own}")
    assert found["2.png"]["caption"] == "the sea\nwater"
    pictures(own, ["3.png"])
    message = refused(tmp_path, f"folder:{own}")
    assert "1 of 3 pictures have no caption beside them" in message and "3.png" in message
    (own / "3.txt").write_text(" \n")
    assert "captions without a word: 3.txt" in refused(tmp_path, f"folder:{own}")


def test_a_picture_may_have_several_captions_and_attributes(tmp_path):
    own = pictures(tmp_path / "own", [f"{number}.png" for number in range(8)])
    colours = ["red", "blue"]
    rows = [
        {"file_name": f"{n}.png", "text": text, "attribute_colour": colours[n % 2]}
        for n in range(8)
        for text in (f"a {colours[n % 2]} square", f"square, {colours[n % 2]}", f"a {colours[n % 2]} square")
    ]
    info, folder = prepare(tmp_path, images=f"folder:{described(own, rows)}")
    table = pd.concat(pd.read_csv(folder / f"{split}.csv") for split in SPLITS)
    assert set(table["caption"]) == {f"a {colour} square\nsquare, {colour}" for colour in colours}
    assert info["captions"]["train"] == 2 * info["counts"]["train"] and info["attributes"] == {
        "colour": ["blue", "red"]
    }
    message = refused(tmp_path, f"folder:{described(own, [*rows, rows[0] | {'attribute_colour': 'blue'}])}")
    assert "row 26: 0.png is in row 2 already, with another label, split, group or attribute" in message
    assert "row 3: attribute_colour is empty" in refused(
        tmp_path, f"folder:{described(own, [rows[0], rows[3] | {'attribute_colour': ''}])}"
    )


def test_an_attribute_that_only_one_of_several_tables_has_is_refused(tmp_path):
    rows = [{"file_name": f"{n}.png", "text": f"picture {n}"} for n in range(4)]
    for split in ("train", "test"):
        folder = pictures(tmp_path / "own" / split, [row["file_name"] for row in rows])
        described(folder, [row | ({"attribute_colour": "red"} if split == "train" else {}) for row in rows])
    message = refused(tmp_path, f"folder:{tmp_path / 'own'}")
    assert "only some of its tables have attribute_colour; give all of them the same columns" in message


def test_attributes_without_captions_are_said_to_be_unused(tmp_path, capsys):
    own = pictures(tmp_path / "own", [f"{number}.png" for number in range(6)])
    described(own, [{"file_name": f"{n}.png", "label": "ab"[n % 2], "attribute_size": "small"} for n in range(6)])
    bring(tmp_path / "raw", f"folder:{own}")
    assert "columns attribute_… are not used, since there are no captions" in capsys.readouterr().out


def test_wrong_rows_of_a_table_are_all_named_with_their_numbers(tmp_path):
    own = pictures(tmp_path / "own", ["0.png", "1.png", "2.png"])
    labels = {"0.png": "a", "1.png": "b", "lost.png": "a", "./0.png": "a", "2.png": ""}
    described(own, [{"file_name": name, "label": label} for name, label in labels.items()])
    message = refused(tmp_path, f"folder:{own}")
    assert "row 4: lost.png does not exist" in message
    assert "row 5: ./0.png is in row 2 already" in message
    assert "row 6: label is empty" in message


def test_a_picture_without_a_row_is_left_out_and_named(tmp_path, capsys):
    own = pictures(tmp_path / "own", ["0.png", "1.png", "extra.png"])
    described(own, [{"file_name": f"{n}.png", "label": "ab"[n]} for n in range(2)])
    manifest, found = index(tmp_path, f"folder:{own}")
    assert manifest["left_out"] == {"no row in metadata.csv": ["extra.png"]} and len(found) == 2
    assert "ignored (no row in metadata.csv): extra.png" in capsys.readouterr().out


def test_a_split_of_another_name_and_back_slashes_are_refused_in_words(tmp_path):
    own = pictures(tmp_path / "own", ["a/0.png", "a/1.png"])
    described(own, [{"file_name": "a/0.png", "label": "x", "split": "holdout"}])
    assert "row 2: split 'holdout' is none of train" in refused(tmp_path, f"folder:{own}")
    described(own, [{"file_name": "a\\0.png", "label": "x"}])
    assert "separate folders by /" in refused(tmp_path, f"folder:{own}")


def test_a_table_may_lie_elsewhere(tmp_path):
    pictures(tmp_path / "archive", ["one/0.png", "two/1.png"])
    (tmp_path / "tables").mkdir()
    rows = [{"file_name": "../archive/one/0.png", "label": "a"}]
    rows += [{"file_name": str(tmp_path / "archive/two/1.png"), "label": "b"}]
    described(tmp_path / "tables", rows, "mine.csv")
    _, found = index(tmp_path, f"table:{tmp_path / 'tables/mine.csv'}")
    assert {name: row["label"] for name, row in found.items()} == {"one/0.png": "a", "two/1.png": "b"}


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.parquet"])
def test_a_cell_may_hold_several_captions(tmp_path, name):
    own = pictures(tmp_path / "own", [f"{number}.png" for number in range(8)])
    described(own, [{"file_name": f"{n}.png", "text": [f"a cat {n}", f" the  cat {n}"]} for n in range(8)], name)
    _, found = index(tmp_path, f"folder:{own}")
    assert found["3.png"]["caption"] == "a cat 3\nthe cat 3"
    described(own, [{"file_name": f"{n}.png", "text": ["a cat"] if n else ["a", ""]} for n in range(8)], name)
    assert "row 1: the caption is empty" in refused(tmp_path, f"folder:{own}")


def test_columns_that_are_not_read_are_named(tmp_path, capsys):
    own = pictures(tmp_path / "own", [f"{number}.png" for number in range(4)])
    rows = [{"file_name": f"{n}.png", "label": "ab"[n % 2], "camera": "x"} for n in range(4)]
    bring(tmp_path / "raw", f"folder:{described(own, rows)}")
    assert "metadata.csv: columns that are not used: camera" in capsys.readouterr().out
    described(own, [{**row, "Split": "test"} for row in rows])
    assert "column 'Split' is not read, since it is not named 'split'" in refused(tmp_path, f"folder:{own}")


def test_groups_of_a_table_are_never_cut(tmp_path):
    own = pictures(tmp_path / "own", [f"{number}.png" for number in range(40)])
    rows = [{"file_name": f"{n}.png", "label": "ab"[n // 4 % 2], "group": f"patient {n // 4}"} for n in range(40)]
    described(own, rows)
    info, _ = prepare(tmp_path, images=f"folder:{own}")
    assert info["splits"]["groups"] == 10 and all(count % 4 == 0 for count in info["counts"].values())
    described(own, [row | {"split": "train" if n != 5 else "test"} for n, row in enumerate(rows)])
    with pytest.raises(BadInput, match=r"group 'patient 1' is in train and in test"):
        prepare(tmp_path, images=f"folder:{own}")


def test_copies_of_noise_share_a_split(tmp_path):
    for copy in range(4):
        names = [f"{label}/{number}_copy{copy}.png" for label in ("a", "b") for number in range(8)]
        pictures(tmp_path / "own", names)
    info, folder = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    held = [{image.numpy().tobytes() for image in load_images(folder, split)[0]} for split in SPLITS]
    assert info["splits"]["copies"] == 48 and sum(map(len, held)) == len(set().union(*held)) == 16


def test_broken_pictures_are_all_named_at_once_or_left_out(tmp_path, capsys):
    own = class_folders(tmp_path / "own", 8)
    broken = [f"cat/{number}.png" for number in range(5)]
    for number, name in enumerate(broken):
        (own / name).write_bytes((own / name).read_bytes()[: 20 * number])
    with pytest.raises(BadInput, match="5 broken pictures") as error:
        prepare(tmp_path, images=f"folder:{own}")
    assert all(name in str(error.value) for name in broken) and "preprocess.images.broken = skip" in str(error.value)
    info, _ = prepare(tmp_path, PreprocessImages(broken="skip"), images=f"folder:{own}")
    assert sum(info["counts"].values()) == 11
    assert [reason.partition(":")[0] for reason in info["left_out"]["broken"]] == broken
    assert "5 broken pictures" in capsys.readouterr().out


def test_pictures_of_16_bits_keep_their_contrast_and_are_served_alike(tmp_path, capsys):
    """As of a thermal camera: a few hundred of 65,536 levels."""
    rng = np.random.default_rng(0)
    for label, warm in (("seal", 300), ("none", 0)):
        (tmp_path / "own" / label).mkdir(parents=True)
        for number in range(6):
            shades = (7000 + rng.integers(0, 100, (8, 8)) + warm).astype(np.uint16)
            Image.fromarray(shades).save(tmp_path / f"own/{label}/{number}.png")
    info, folder = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    black, white = info["grey_range"]
    assert 7000 <= black < 7010 and 7390 < white < 7400 and "grey_range" in training.CARD_KEYS
    said = capsys.readouterr().out
    assert "16-bit pictures; 7,0" in said and "the others 8" not in said
    images, labels = load_images(folder, "train")
    assert images[labels == 1].float().mean() > images[labels == 0].float().mean() + 100
    kept = {image.numpy().tobytes() for split in SPLITS for image in load_images(folder, split)[0]}
    content = (tmp_path / "own/seal/0.png").read_bytes()
    assert to_square(decode(io.BytesIO(content), "picture"), 8, 1, "crop", (black, white)).tobytes() in kept


def test_pictures_of_16_bits_that_training_has_not_are_no_white_squares(tmp_path):
    """Eight bits in train, sixteen in test: black stays black, white stays white."""
    shades = np.arange(64).reshape(8, 8)
    for number in range(6):
        for split, values in (("train", shades * 4), ("test", (shades * 1024).astype(np.uint16))):
            path = tmp_path / "own" / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(values, number).astype(np.uint8 if split == "train" else np.uint16)).save(path)
    _, folder = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    train, test = (load_images(folder, split)[0].float() for split in ("train", "test"))
    assert abs(train.mean() - test.mean()) < 3 and test.std() > 50


def test_pictures_of_8_and_16_bits_in_one_training_set_are_said(tmp_path, capsys):
    for number in range(12):
        draw(tmp_path / "own" / "ab"[number % 2] / f"{number}.png", ("L", "I;16")[number % 2], (8, 8), seed=number)
    prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    assert "training pictures have 16 bits, the others 8" in capsys.readouterr().out


def test_the_same_pictures_give_the_same_data_in_whatever_form_they_are_described(tmp_path):
    labelled = {"train": 6, "val": 3, "test": 4}
    names = [f"{split}/{c}/{n}.png" for split, count in labelled.items() for c in ("é", "dog") for n in range(count)]
    pictures(tmp_path / "folders", names)
    order = random.Random(1).sample(range(len(names)), len(names))
    infos, arrays = [], []
    for form in ("folders", "metadata.csv", "metadata.jsonl", "metadata.parquet"):
        own = tmp_path / form
        if form != "folders":
            own.mkdir()
            rows = []
            for number in order:
                split, label, _ = names[number].split("/")
                (own / f"{number}.png").write_bytes((tmp_path / "folders" / names[number]).read_bytes())
                rows.append({"file_name": f"{number}.png", "label": label, "split": split})
            described(own, rows, form)
        info, folder = prepare(tmp_path / f"prepared {form}", images=f"folder:{own}")
        arrays.append([(folder / f"{split}.safetensors").read_bytes() for split in SPLITS])
        infos.append(info)
    assert len({info.pop("source") for info in infos}) == 4
    assert all(info == infos[0] for info in infos) and infos[0]["classes"] == ["dog", "é"]
    assert all(each == arrays[0] for each in arrays)
