"""A user's labelled sentences: read from every table, split as the user says, trained on and served."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from family_plans import trained

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import write_json
from quartet.sequences.baselines import linear_baseline
from quartet.sequences.preparation import prepare_sequences
from quartet.sequences.serving import SequenceModel
from quartet.sequences.settings import Columns, PreprocessSequences, TrainRnn
from quartet.sequences.sources import download_sequences
from quartet.sequences.training import plan as training

SPLITS = ("train", "validation", "test")


def sentences(count=60):
    rng = np.random.default_rng(0)
    words = {"good": ["fine", "lovely", "très bien"], "bad": ["awful", "poor", "dull"]}
    labels = [("good", "bad")[number % 2] for number in range(count)]
    texts = [f"Number {n}, {', '.join(rng.choice(words[label], 3))}\nindeed" for n, label in enumerate(labels)]
    return pd.DataFrame({"text": texts, "label": labels})


def prepare(folder, path, **settings):
    write_json(folder / "raw/manifest.json", download_sequences(f"passages:{path}", Fetching(), folder / "raw"))
    how = PreprocessSequences(vocabulary_size=300, **settings)
    return prepare_sequences(folder / "raw", folder / "processed", how)


def written(tmp_path, data, name="own.csv"):
    path = tmp_path / name
    if path.suffix == ".csv":
        data.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        data.to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in data.to_dict("records")))
    return path


def kept(folder):
    files = [path for path in (folder / "processed").iterdir() if path.name != "info.json"]
    return {path.name: path.read_bytes() for path in files}


def test_csv_json_lines_and_parquet_give_the_same_bytes_whatever_the_order_of_the_rows(tmp_path):
    data = sentences()
    infos = [prepare(tmp_path / "csv", written(tmp_path, data))]
    shuffled = data.sample(frac=1, random_state=1)
    for ending in ("jsonl", "parquet"):
        infos.append(prepare(tmp_path / ending, written(tmp_path, shuffled, f"own.{ending}")))
    assert kept(tmp_path / "csv") == kept(tmp_path / "jsonl") == kept(tmp_path / "parquet")
    assert len({info.pop("source") for info in infos}) == 3 and infos[0] == infos[1] == infos[2]
    assert infos[0]["classes"] == ["bad", "good"]


def test_own_splits_and_groups_are_kept(tmp_path):
    data = sentences().assign(split=["dev"] * 10 + ["Train"] * 30 + ["test"] * 20)
    info = prepare(tmp_path / "splits", written(tmp_path, data), splits="own")
    assert info["counts"] == {"train": 30, "validation": 10, "test": 20}
    assert set(pd.read_csv(tmp_path / "splits/processed/test.csv")["text"]) == set(data["text"][40:])
    grouped = sentences().assign(group=[f"author {number // 4}" for number in range(60)])
    info = prepare(tmp_path / "groups", written(tmp_path, grouped))
    assert info["splits"]["groups"] == 15 and all(count % 4 == 0 for count in info["counts"].values())
    data["group"] = [f"author {number % 7}" for number in range(60)]
    with pytest.raises(BadInput, match=r"group 'author \d' is in \w+ and in \w+"):
        prepare(tmp_path / "cut", written(tmp_path, data))


def test_the_names_of_columns_are_settings(tmp_path):
    theirs = sentences().rename(columns={"text": "review", "label": "stars"})
    prepare(tmp_path / "theirs", written(tmp_path, theirs), columns=Columns(text="review", label="stars"))
    prepare(tmp_path / "ours", written(tmp_path, sentences()))
    assert kept(tmp_path / "ours") == kept(tmp_path / "theirs")
    with pytest.raises(BadInput, match=r"no column text, label; its columns are review, stars"):
        prepare(tmp_path / "absent", written(tmp_path, theirs))


def test_columns_that_are_not_read_are_named_or_refused(tmp_path, capsys):
    prepare(tmp_path / "own", written(tmp_path, sentences().assign(date="today")))
    assert "columns that are not used: date" in capsys.readouterr().out
    with pytest.raises(BadInput, match="column 'Group' is not read, since it is not named 'group'"):
        prepare(tmp_path / "near", written(tmp_path, sentences().assign(Group="a")))
    with pytest.raises(BadInput, match=r"has no column fold, which preprocess\.sequences\.columns\.split names"):
        prepare(tmp_path / "absent", written(tmp_path, sentences()), columns=Columns(split="fold"))


@pytest.mark.parametrize("texts", [["M K T A", "A T K M"], ["1 2 3", "3 2 1"], ["🙂 🙂", "🙃 🙃"]])
def test_texts_without_words_have_a_baseline(tmp_path, texts):
    rows = [{"text": f"{texts[number % 2]} {number % 9}", "label": "ab"[number % 2]} for number in range(60)]
    info = prepare(tmp_path, written(tmp_path, pd.DataFrame(rows)))
    assert 0 <= linear_baseline(tmp_path / "processed", info)["baseline_accuracy"] <= 1


@pytest.mark.parametrize(("column", "message"), [("text", "row 3: text is empty"), ("label", "row 3: label is empty")])
def test_rows_without_a_text_or_a_label_are_named(tmp_path, column, message):
    data = sentences().assign(text="one line")
    data.loc[1, column] = ""
    with pytest.raises(BadInput, match=message):
        prepare(tmp_path / "own", written(tmp_path, data))


def test_sentences_are_sorted_beside_a_baseline_and_served(tmp_path):
    info = prepare(tmp_path, written(tmp_path, sentences()))
    folder = tmp_path / "processed"
    assert linear_baseline(folder, info)["baseline_accuracy"] > 0.9

    def plan_of(data, device, **_):
        settings = TrainRnn(batch_size=16, hidden_size=16, layers=1, steps=3)
        return settings, training.plan(settings, seed=0, folder=data, info=info, device=device)

    _, plan = plan_of(folder, torch.device("cpu"))
    about = {name: info[name] for name in (*plan.card_keys, "source", "sha256")}
    described = {"network": plan.description, "data": about, "training": {}}
    save_model(tmp_path / "model", trained(plan_of, folder).weights, family="rnn", **described)
    served = SequenceModel(tmp_path / "model", {"tokenizer": folder / "tokenizer.json"})
    both = served.classify(["A lovely day", "Awful, dull and much longer than the other"])
    alone = served.classify(["A lovely day"])
    assert len(both) == 2 and both[0].name in info["classes"]
    assert both[0].probabilities[both[0].name] == pytest.approx(alone[0].probabilities[both[0].name], abs=1e-5)
