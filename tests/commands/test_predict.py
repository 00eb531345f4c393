"""`python -m quartet predict`: answers for all that a folder or a file holds, past what is broken."""

import base64
import gzip
import importlib
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from family_plans import (
    image_plan,
    language_plan,
    prepare,
    save_trained,
    sequence_plan,
    text_to_image_plan,
)
from in_process import run
from PIL import Image
from typer.testing import CliRunner

from benchmarks.code_graph import TOP
from quartet.__main__ import app
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.writing import read_json, write_json
from quartet.datasets.images import load_images
from quartet.sequences.preparation import prepare_sequences
from quartet.sequences.serving import SequenceModel
from quartet.sequences.settings import PreprocessSequences
from quartet.sequences.sources import download_sequences

OFFSET = 1.7e12  # as of times in milliseconds, which float32 would round by 65,536


def series(names, slope_of):
    """A table of straight lines that rise or fall from a large number."""
    rows = [
        {
            "series": name,
            "step": step,
            "label": slope_of(name),
            "t": OFFSET + int(name[1:]) + (1 if slope_of(name) == "up" else -1) * step,
        }
        for name in names
        for step in range(5)
    ]
    return pd.DataFrame(rows)


def direction(name):
    return "up" if int(name[1:]) % 2 else "down"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with settings, prepared data and a model of every family, trained for a few steps."""
    folder, data = tmp_path_factory.mktemp("workspace"), tmp_path_factory.mktemp("data")
    prepare(data)
    series([f"s{number}" for number in range(40)], direction).to_csv(data / "own.csv", index=False)
    shutil.rmtree(data / "sequences")
    raw = data / "sequences/raw"
    write_json(raw / "manifest.json", download_sequences(f"csv:{data / 'own.csv'}", Fetching(), raw))
    prepare_sequences(raw, data / "sequences", PreprocessSequences())
    plans = {
        "cnn": (image_plan, "grey"),
        "rnn": (sequence_plan, "sequences"),
        "lm": (language_plan, "text"),
        "diffusion": (text_to_image_plan, "grey"),
    }
    for family, (plan_of, item) in plans.items():
        save_trained(plan_of, data, read_json(data / item / "info.json"), folder / "models" / family, family)
    for name, item in (("images", "grey"), ("text", "text"), ("sequences", "sequences")):
        shutil.copytree(data / item, folder / "data/processed" / name)
    (folder / "params.yaml").write_text("{}\n")
    return folder


def predict(workspace, *words, code=0):
    return run(workspace, "quartet", "predict", *words, code=code)


def test_a_folder_of_pictures_is_classified_and_scored_past_a_broken_one(workspace, tmp_path):
    images, labels = load_images(workspace / "data/processed/images", "test")
    classes = read_json(workspace / "data/processed/images/info.json")["classes"]
    for number in range(70):  # more than a batch
        path = tmp_path / "pictures" / classes[labels[number]] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number, 0].numpy()).save(path)
    broken = tmp_path / "pictures" / classes[0] / "broken.png"
    broken.write_bytes(b"no picture")
    (tmp_path / "pictures/notes.txt").write_text("")
    printed = predict(workspace, "cnn", tmp_path / "pictures", "--out", tmp_path / "answers.csv", code=1)
    table = pd.read_csv(tmp_path / "answers.csv").set_index("file")
    assert len(table) == 71 and table["error"].notna().sum() == 1
    assert "is no picture" in table.loc[f"{classes[0]}/broken.png", "error"]
    answered = table[table["error"].isna()]
    probabilities = answered[[f"probability_{name}" for name in classes]]
    assert np.allclose(probabilities.sum(axis=1), 1) and np.allclose(probabilities.max(axis=1), answered["probability"])
    accuracy = (answered["class"] == answered["label"]).mean()
    assert f"accuracy {accuracy:.6g}\n" in printed and "test_examples 70\n" in printed
    assert "not a picture" in printed and "70 answers, 1 errors" in printed
    # The same answers as for each picture by itself.
    name = answered.index[3]
    assert f"{answered.loc[name, 'class']} " in run(workspace, "quartet", "classify", tmp_path / "pictures" / name)


def test_a_table_of_pictures_needs_no_labels(workspace, tmp_path):
    Image.new("L", (8, 8), 99).save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("file_name\na.png\n")
    printed = predict(workspace, "cnn", tmp_path / "list.csv", "--out", tmp_path / "answers.csv")
    assert "accuracy" not in printed and "label" not in pd.read_csv(tmp_path / "answers.csv")


def test_rows_of_a_table_of_pictures_are_answered_in_their_order_by_their_names(workspace, tmp_path):
    for name, shade in (("z.png", 99), ("a.png", 200)):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("L", (8, 8), shade).save(tmp_path / "photos" / name)
    names = ["photos/z.png", "photos/lost.png", "photos/a.png", "photos/z.png", ""]
    pd.DataFrame({"file_name": names, "note": range(5)}).to_csv(tmp_path / "list.csv", index=False)
    printed = predict(workspace, "cnn", tmp_path / "list.csv", "--out", tmp_path / "answers.csv", code=1)
    table = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False)
    assert table["file"].tolist() == names and "3 answers, 2 errors" in printed
    assert table["error"][1] == "photos/lost.png does not exist" and table["error"][4] == "file_name is empty"
    assert table["probability"][0] == table["probability"][3] != table["probability"][2]
    shutil.copy(tmp_path / "list.csv", tmp_path / "metadata.csv")
    predict(workspace, "cnn", tmp_path, "--out", tmp_path / "answers2.csv", code=1)
    assert pd.read_csv(tmp_path / "answers2.csv", keep_default_na=False)["file"].tolist() == names


def test_series_are_classified_in_any_order_of_rows_without_labels(workspace, tmp_path):
    given = series(["s1", "s2", "s3"], direction).drop(columns="label")
    given.sample(frac=1, random_state=0).to_csv(tmp_path / "series.csv", index=False)
    given.to_parquet(tmp_path / "series.parquet")
    for name in ("series.csv", "series.parquet"):
        predict(workspace, "rnn", tmp_path / name, "--out", tmp_path / f"{name}.csv")
    from_csv, from_parquet = (pd.read_csv(tmp_path / f"series.{form}.csv") for form in ("csv", "parquet"))
    assert from_csv.equals(from_parquet) and from_csv["series"].tolist() == ["s1", "s2", "s3"]
    # Served, the same series get the same answers: the large mean comes off before numbers are rounded.
    model = SequenceModel(workspace / "models/rnn")
    answer = model.predict([np.asarray([[OFFSET + 1 + step] for step in range(5)])], {})
    assert from_csv["probability"][0] == pytest.approx(answer["probability"][0], abs=1e-6)
    assert from_csv["probability"][0] != pytest.approx(from_csv["probability_up"][1], abs=1e-3)


def test_a_malformed_series_is_a_row_with_its_error(workspace, tmp_path):
    text = series([f"s{number}" for number in range(4)], direction).to_csv(index=False)
    lines = text.splitlines()
    lines[6] = "s1,0,up,oops"
    lines[11] = "s2,0,down,"
    (tmp_path / "series.csv").write_text("\n".join(lines) + "\n")
    printed = predict(workspace, "rnn", tmp_path / "series.csv", "--out", tmp_path / "answers.csv", code=1)
    table = pd.read_csv(tmp_path / "answers.csv").set_index("series")
    assert "row 7: t 'oops' is not a number" in table.loc["s1", "error"]
    assert "step 0" in table.loc["s2", "error"] and table.loc[["s0", "s3"], "class"].notna().all()
    assert "2 answers, 2 errors" in printed and "test_examples 2\n" in printed


def test_series_with_other_features_are_refused(workspace, tmp_path):
    series(["s1"], direction).rename(columns={"t": "x"}).to_csv(tmp_path / "series.csv", index=False)
    printed = predict(workspace, "rnn", tmp_path / "series.csv", "--out", tmp_path / "answers.csv", code=2)
    assert "its features are x; the model takes t" in printed and not (tmp_path / "answers.csv").exists()


@pytest.mark.parametrize("form", ["txt", "txt.gz", "csv", "jsonl"])
def test_prompts_are_continued(workspace, tmp_path, form):
    path = tmp_path / f"prompts.{form}"
    content = {
        "txt": "The first\n\nA second\n",
        "csv": "prompt\nThe first\nA second\n",
        "jsonl": '{"prompt": "The first"}\n{"prompt": "A second"}\n',
    }[form.removesuffix(".gz")]
    path.write_bytes(gzip.compress(content.encode()) if form.endswith(".gz") else content.encode())
    predict(workspace, "lm", path, "--out", tmp_path / "answers.csv", "--with", "tokens=5", "--with", "seed=3")
    table = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False)
    assert table["prompt"].tolist() == ["The first", "A second"] and not table["error"].any()
    generated = run(workspace, "quartet", "generate", "The first", "--tokens", "5", "--seed", "3")
    assert table["text"][0] == generated.removesuffix("\n")
    assert table.columns[0] == ("line" if "txt" in form else "row")


def test_what_was_answered_before_ctrl_c_is_written(workspace, tmp_path, monkeypatch):
    command, whole = importlib.import_module("quartet.commands.predict"), []

    def interrupted(*arguments):
        for answer in command_answers(*arguments):
            whole.append(answer)
            yield answer
            if len(whole) == 2:
                raise KeyboardInterrupt

    command_answers = command.answers
    monkeypatch.setattr(command, "answers", interrupted)
    monkeypatch.chdir(workspace)
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    words = ["predict", "lm", str(tmp_path / "prompts.txt"), "--out", str(tmp_path / "a.csv"), "--with", "tokens=3"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 130 and "stopped; 1 of 3 have no answer" in done.output
    assert pd.read_csv(tmp_path / "a.csv")["prompt"].tolist() == ["one", "two"]


def test_captions_are_drawn_past_one_that_is_not_known(workspace, tmp_path):
    (tmp_path / "captions.txt").write_text("a handwritten seven\na handwritten horse\na handwritten two\n")
    words = ("diffusion", tmp_path / "captions.txt", "--out", tmp_path / "drawn", "--with", "steps=2")
    printed = predict(workspace, *words, code=1)
    table = pd.read_csv(tmp_path / "drawn/pictures.csv", keep_default_na=False)
    assert table["file"].tolist() == ["00001.png", "", "00003.png"] and "horse" in table["error"][1]
    assert table["caption"][1] == "a handwritten horse" and "2 answers, 1 errors" in printed
    assert Image.open(tmp_path / "drawn/00003.png").size == (8, 8)
    assert "exists already" in predict(workspace, *words, code=2)


def test_what_cannot_be_asked_is_said_first(workspace, tmp_path):
    (tmp_path / "prompts.txt").write_text("The\n")
    asked = ("lm", tmp_path / "prompts.txt", "--out")
    assert "ends in .csv" in predict(workspace, *asked, tmp_path / "answers.xls", code=2)
    assert "temperature" in predict(workspace, *asked, tmp_path / "a.csv", "--with", "heat=2", code=2)
    assert "is a number" in predict(workspace, *asked, tmp_path / "a.csv", "--with", "tokens=many", code=2)
    (tmp_path / "empty.txt").write_text("\n")
    assert "has no text" in predict(workspace, "lm", tmp_path / "empty.txt", "--out", tmp_path / "a.csv", code=2)
    (tmp_path / "table.csv").write_text("words\nThe\n")
    assert "no column prompt" in predict(workspace, "lm", tmp_path / "table.csv", "--out", tmp_path / "a.csv", code=2)


@pytest.mark.parametrize(
    ("family", "parameter", "said"),
    [
        ("lm", "temperature=-1", "temperature: found -1.0, allowed is 0 or more"),
        ("lm", "temperature=nan", "temperature: found nan, allowed is 0 or more"),
        ("lm", "repetition_penalty=nan", "repetition_penalty: found nan, allowed is above 0"),
        ("lm", "tokens=0", "tokens: found 0, allowed is 1 or more"),
        ("diffusion", "steps=0", "steps: found 0"),
        ("diffusion", "seed=-1", "seed: found -1"),
        ("diffusion", "sampler=heunn", "takes the samplers heun, euler, not heunn"),
        ("diffusion", "negative=zebra", "negative: 'zebra': unknown word"),
    ],
)
def test_a_parameter_out_of_its_range_is_no_fault_of_a_question(workspace, tmp_path, family, parameter, said):
    (tmp_path / "asked.txt").write_text("the two\nthe seven\n")
    out = tmp_path / ("a.csv" if family == "lm" else "drawn")
    if family == "lm":
        out.write_text("answers of before")
    printed = predict(workspace, family, tmp_path / "asked.txt", "--out", out, "--with", parameter, code=2)
    assert said in printed and (out.read_text() == "answers of before" if family == "lm" else not out.exists())


def test_no_output_replaces_the_input_or_is_found_impossible_at_the_end(workspace, tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("prompt\nThe\n")
    (tmp_path / "link.csv").symlink_to(path)
    for out in (path, tmp_path / "link.csv", tmp_path / "x/../prompts.csv"):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert "is the input itself" in predict(workspace, "lm", path, "--out", out, code=2)
        assert path.read_text() == "prompt\nThe\n"
    assert "prompts.csv is a file, not a folder" in predict(workspace, "lm", path, "--out", path / "a/b.csv", code=2)
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in predict(workspace, "lm", path, "--out", tmp_path / "folder.csv", code=2)
    text = tmp_path / "text.csv"
    text.write_text("The first\n")
    assert "is the input itself" in run(workspace, "quartet", "score", text, "--out", text, code=2)


def test_a_model_answers_without_the_prepared_data(workspace, tmp_path):
    shutil.copytree(workspace / "models", tmp_path / "models")
    (tmp_path / "models/lm/tokenizer.json").unlink()
    (tmp_path / "params.yaml").write_text("{}\n")
    (tmp_path / "prompts.txt").write_text("The first\n")
    asked = ("lm", tmp_path / "prompts.txt", "--with", "tokens=5", "--out")
    assert "tokenizer.json: cannot be read" in predict(tmp_path, *asked, tmp_path / "alone.csv", code=1)
    shutil.copy(workspace / "models/lm/tokenizer.json", tmp_path / "models/lm")
    predict(tmp_path, *asked, tmp_path / "alone.csv")
    predict(workspace, *asked, tmp_path / "beside.csv")
    assert (tmp_path / "alone.csv").read_bytes() == (tmp_path / "beside.csv").read_bytes()


def test_the_settings_of_evaluation_are_defaults(workspace, tmp_path):
    (tmp_path / "captions.txt").write_text("the two\n")
    for name, settings in (("few", "{steps: 1, guidance: 3.0}"), ("many", "{sampler: euler, steps: 3}")):
        (tmp_path / f"{name}.yaml").write_text(f"evaluate: {{diffusion: {settings}}}\n")
        words = ("diffusion", tmp_path / "captions.txt", "--params", tmp_path / f"{name}.yaml", "--out")
        predict(workspace, *words, tmp_path / name)
    same = ("diffusion", tmp_path / "captions.txt", "--out", tmp_path / "same", "--with", "steps=1")
    predict(workspace, *same, "--with", "guidance=3.0")
    few, many, alike = ((tmp_path / name / "00001.png").read_bytes() for name in ("few", "many", "same"))
    assert few == alike != many


def test_spaces_around_a_prompt_are_part_of_it(workspace, tmp_path):
    (tmp_path / "prompts.txt").write_bytes(b"The first \r\n   \r\n  and\r\n")
    predict(workspace, "lm", tmp_path / "prompts.txt", "--out", tmp_path / "a.csv", "--with", "tokens=3")
    table = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert table["prompt"].tolist() == ["The first ", "  and"]
    generated = run(workspace, "quartet", "generate", "--file", tmp_path / "prompts.txt", "--tokens", "3")
    alone = run(workspace, "quartet", "generate", "The first ", "--tokens", "3")
    assert generated.startswith(alone.removesuffix("\n"))
    (tmp_path / "prompts.csv").write_text('prompt,name\n"  ",a\nThe,b\n')
    predict(workspace, "lm", tmp_path / "prompts.csv", "--out", tmp_path / "a.csv", "--with", "tokens=3", code=1)
    assert pd.read_csv(tmp_path / "a.csv", keep_default_na=False)["error"].tolist() == ["is empty", ""]


def test_labels_may_be_known_of_some(workspace, tmp_path):
    classes = read_json(workspace / "data/processed/images/info.json")["classes"]
    for name in "ab":
        Image.new("L", (8, 8), 99).save(tmp_path / f"{name}.png")
    (tmp_path / "list.csv").write_text(f"file_name,label,split\na.png,{classes[0]},\nb.png,,new\n")
    printed = predict(workspace, "cnn", tmp_path / "list.csv", "--out", tmp_path / "answers.csv")
    table = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False, dtype=str)
    assert table["label"].tolist() == [classes[0], ""] and "test_examples 1\n" in printed
    given = series(["s1", "s2"], direction)
    given.loc[given["series"] == "s2", "label"] = ""
    given.to_csv(tmp_path / "series.csv", index=False)
    printed = predict(workspace, "rnn", tmp_path / "series.csv", "--out", tmp_path / "answers.csv")
    assert "2 answers, 0 errors" in printed and "test_examples 1\n" in printed


def test_half_a_character_is_named_with_its_row(workspace, tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "fine \\ud83d\\ude00"}\n{"prompt": "nice \\ud83d"}\n')
    printed = predict(workspace, "lm", tmp_path / "prompts.jsonl", "--out", tmp_path / "a.csv", code=2)
    assert "prompts.jsonl: row 2: holds half of a character" in printed


def test_labels_that_the_model_does_not_know_leave_the_answers(workspace, tmp_path):
    table = series(["s1", "s2"], lambda name: "sideways" if name == "s1" else "down")
    table.to_csv(tmp_path / "series.csv", index=False)
    printed = predict(workspace, "rnn", tmp_path / "series.csv", "--out", tmp_path / "answers.csv", code=2)
    assert "no class sideways" in printed and len(pd.read_csv(tmp_path / "answers.csv")) == 2


def test_a_registered_model_answers(workspace, tmp_path, monkeypatch):
    import mlflow

    from quartet.tracking import store
    from quartet.tracking.model_logging import log_model

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client, experiment = store.open_store()
    run_id = client.create_run(experiment).info.run_id
    model = workspace / "models/cnn"
    card = read_json(model / "card.json")
    interface = {"inputs": {"name": "image", "kind": "binary"}, "output": "classes", "parameters": []}
    picture = tmp_path / "a.png"
    Image.new("L", (8, 8), 99).save(picture)
    example = {"column": "image", "kind": "binary", "values": [base64.b64encode(picture.read_bytes()).decode()]}
    log_model(run_id, "cnn", "quartet.images.serving:ImageClassifier", {"model": model}, interface, example)
    (logged,) = client.search_logged_models([experiment])
    mlflow.register_model(f"models:/{logged.model_id}", "quartet-cnn")
    client.set_registered_model_alias("quartet-cnn", "champion", "1")
    (tmp_path / "list.csv").write_text("file_name\na.png\n")
    asked = ("cnn", tmp_path / "list.csv", "--out")
    predict(workspace, *asked, tmp_path / "own.csv")
    predict(workspace, *asked, tmp_path / "theirs.csv", "--model", "models:/quartet-cnn@champion")
    assert (tmp_path / "own.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()
    assert card["family"] == "cnn" and torch is not None
    unknown = predict(workspace, *asked, tmp_path / "no.csv", "--model", "models:/quartet-cnn@nobody", code=2)
    assert "cannot be loaded" in unknown
    other = predict(
        workspace, "diffusion", tmp_path / "a.txt", "--out", tmp_path / "d", "--model", "models:/quartet-cnn/1", code=2
    )
    assert "of the family cnn" in other


def test_the_page_says_how_to_ask_from_python(workspace, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (TOP / "docs/serving.md").read_text(), re.S)
    monkeypatch.chdir(workspace)
    exec(block, {})
    assert "The estimator" in capsys.readouterr().out
