"""The classes that serve trained models: what they take, what they return, and how MLflow is told."""

import asyncio
import base64
import dataclasses
import inspect
import io
import json
import time
from functools import partial
from pkgutil import resolve_name

import numpy as np
import pandas as pd
import pytest
from family_plans import language_plan, save_trained, sequence_plan, train_each_family
from mlflow.pyfunc import scoring_server
from mlflow.types import DataType
from model_server import a_store, loaded, png, posted, server
from PIL import Image

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import read_card
from quartet.artifacts.writing import read_json, write_json
from quartet.families import FAMILIES
from quartet.language.preparation import prepare_text
from quartet.language.settings import PreprocessText
from quartet.language.sources import download_text
from quartet.sequences.preparation import prepare_sequences
from quartet.sequences.settings import PreprocessSequences
from quartet.sequences.sources import download_sequences
from quartet.tracking.model_logging import example_from, signature_of
from quartet.tracking.served import Array


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Prepared data, and a model of every family trained on it for a few steps."""
    folder = tmp_path_factory.mktemp("served")
    train_each_family(folder)
    return folder


def served(data, key):
    kind = resolve_name(FAMILIES[key].served)
    return kind(data / "models" / key, {"tokenizer": data / "text/tokenizer.json"} if key == "lm" else {})


def interface(data, key):
    """As the recorder gets it: through JSON."""
    card = read_card(data / "models" / key)
    return json.loads(json.dumps(dataclasses.asdict(resolve_name(FAMILIES[key].served).interface(card))))


def test_pictures_of_any_size_get_classes_and_probabilities(data):
    model = served(data, "cnn")
    table = model.predict([png(0), png(255, (8, 8))], {})
    assert list(table.columns) == ["class", "probability", "probabilities"] and len(table) == 2
    for row in table.itertuples(index=False):
        assert sum(row.probabilities.values()) == pytest.approx(1)
        assert row.probability == max(row.probabilities.values()) == row.probabilities[row[0]]
        assert list(row.probabilities.values()) == sorted(row.probabilities.values(), reverse=True)
    with pytest.raises(ValueError, match=r"image 1: is no picture"):
        model.predict([png(0), b"no picture"], {})


def test_sequences_get_classes(data):
    sequences = np.random.default_rng(0).integers(0, 255, (3, 8, 8), np.uint8)
    model = served(data, "rnn")
    together, alone = model.predict(sequences, {}), model.predict(sequences[1:2], {})
    assert together["class"][1] == alone["class"][0]
    assert together["probability"][1] == pytest.approx(alone["probability"][0], rel=1e-4)


def test_prompts_are_continued_as_the_parameters_say(data):
    model = served(data, "lm")
    how = {parameter["name"]: parameter["default"] for parameter in interface(data, "lm")["parameters"]}
    first, second = model.predict(["The ", ""], {**how, "tokens": 5})
    assert first.startswith("The ") and len(first) > len("The ") and second
    assert model.predict(["The "], {**how, "tokens": 5}) == [first]
    assert model.predict(["The "], {**how, "tokens": 30, "seed": 1}) != model.predict(["The "], {**how, "tokens": 30})
    with pytest.raises(ValueError, match="tokens: found 0"):
        model.predict(["The "], {**how, "tokens": 0})


def test_captions_become_pictures(data):
    model = served(data, "diffusion")
    how = {parameter["name"]: parameter["default"] for parameter in interface(data, "diffusion")["parameters"]}
    answers = model.predict(["a handwritten seven", "the two"], how)
    pictures = [Image.open(io.BytesIO(base64.b64decode(answer))) for answer in answers]
    assert [picture.size for picture in pictures] == [(8, 8)] * 2 and answers[0] != answers[1]
    with pytest.raises(ValueError, match="unknown word 'sevn'"):
        model.predict(["sevn"], how)


def test_mlflow_is_told_what_goes_in_and_out(data):
    signatures = {key: signature_of(interface(data, key)) for key in FAMILIES}
    assert signatures["cnn"].inputs.input_types() == [DataType.binary]
    assert signatures["cnn"].outputs.input_names() == ["class", "probability", "probabilities"]
    (tensor,) = signatures["rnn"].inputs.inputs
    assert tensor.type == np.dtype("object") and tensor.shape == (-1,)  # `Array.checked` says what it takes
    assert signatures["lm"].inputs.input_names() == ["prompt"]
    kinds = {parameter.name: parameter.dtype for parameter in signatures["lm"].params}
    assert kinds["tokens"] == DataType.long and kinds["top_p"] == DataType.double
    assert signatures["cnn"].params is None
    assert {parameter.name for parameter in signatures["diffusion"].params} > {"guidance", "sampler", "seed"}


@pytest.mark.parametrize("key", FAMILIES)
def test_the_example_is_an_input_that_the_model_takes(data, key, monkeypatch):
    monkeypatch.chdir(data)
    (data / "data/processed").mkdir(parents=True, exist_ok=True)
    for item, folder in (("images", "grey"), ("sequences", "sequences")):
        link = data / "data/processed" / item
        if not link.exists():
            link.symlink_to(data / folder)
    sent = json.loads(json.dumps(resolve_name(FAMILIES[key].served).example(read_card(data / "models" / key))))
    example = example_from(sent)
    inputs = list(example.iloc[:, 0]) if hasattr(example, "iloc") else example
    how = {parameter["name"]: parameter["default"] for parameter in interface(data, key)["parameters"]}
    assert len(served(data, key).predict(inputs, how)) == len(inputs)


@pytest.fixture(scope="module")
def ask(data, tmp_path_factory):
    """Ask the model of a family over HTTP, as MLflow logs and serves it; returns the status and the answer."""
    servers = {}

    def of(key):
        if key not in servers:
            model = loaded(data / "models" / key, key, data / "text/tokenizer.json")
            servers[key] = model, scoring_server.init(model)
        return servers[key]

    def asked(key, question):
        body = question if isinstance(question, str) else json.dumps(question)
        return asyncio.run(posted(of(key)[1], body.encode()))

    asked.of = of

    with a_store(tmp_path_factory.mktemp("store")):
        yield asked


def trained_on(rows, folder, **settings):
    """A sequence model that is trained for a few steps on a table."""
    rows.to_csv(folder / "own.csv", index=False)
    raw = folder / "raw"
    write_json(raw / "manifest.json", download_sequences(f"csv:{folder / 'own.csv'}", Fetching(), raw))
    prepare_sequences(raw, folder / "sequences", PreprocessSequences())
    info = read_json(folder / "sequences/info.json")
    save_trained(partial(sequence_plan, **settings), folder, info, folder / "model", "rnn")
    return folder / "model"


def test_a_forecast_is_served_over_http(tmp_path):
    days = pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")
    sales = 50 + 10 * np.sin(2 * np.pi * np.arange(120) / 7)
    model = trained_on(pd.DataFrame({"day": days, "sales": sales}), tmp_path, network="linear")
    data = read_card(model)["data"]
    with a_store(tmp_path / "store"):
        asked = server(model, "rnn")
        status, answer = asyncio.run(posted(asked, json.dumps({"inputs": [sales[:, None].tolist()]}).encode()))
        (found,) = answer["predictions"]
        assert status == 200 and set(found) == {"forecast", "low", "median", "high"}
        assert {name: np.shape(found[name]) for name in found} == dict.fromkeys(found, (data["horizon"], 1))
        assert (np.asarray(found["low"]) <= found["high"]).all()
        status, answer = asyncio.run(posted(asked, json.dumps({"inputs": [[[1.0]]]}).encode()))
        assert status == 400 and "has 1 steps; the model looks" in answer["message"]


def test_a_number_is_served_over_http(tmp_path):
    rows = [
        {"series": f"s{number}", "step": step, "x": number + step, "target": 2.5 * number}
        for number in range(40)
        for step in range(6)
    ]
    model = trained_on(pd.DataFrame(rows), tmp_path)
    with a_store(tmp_path / "store"):
        question = {"inputs": [[[4.0], [5.0]], [[20.0], [21.0], [22.0]]]}
        status, answer = asyncio.run(posted(server(model, "rnn"), json.dumps(question).encode()))
    assert status == 200 and all(np.isfinite(row["number"]) for row in answer["predictions"])


def test_translations_are_served_over_http(tmp_path):
    rows = [{"source": f"a dog sees {number} cats", "target": f"ein Hund sieht {number}"} for number in range(20)]
    pd.DataFrame(rows).to_csv(tmp_path / "own.csv", index=False)
    raw, text = tmp_path / "raw", tmp_path / "text"
    write_json(raw / "manifest.json", download_text(f"pairs:{tmp_path / 'own.csv'}", Fetching(), raw))
    info = prepare_text(raw, text, PreprocessText(tokenizer="byte"))
    plan_of = partial(language_plan, architecture="encoder-decoder", context=64)
    save_trained(plan_of, tmp_path, info, tmp_path / "model", "lm")
    with a_store(tmp_path / "store"):
        asked = server(tmp_path / "model", "lm", text / "tokenizer.json")
        question = {"dataframe_records": [{"source": "a dog"}, {"source": "cats"}], "params": {"beam": 2}}
        status, answer = asyncio.run(posted(asked, json.dumps(question).encode()))
        assert status == 200 and len(answer["predictions"]) == 2
        status, answer = asyncio.run(posted(asked, b'{"dataframe_records": [{"source": " "}]}'))
        assert status == 400 and "no text to translate" in answer["message"]


NO_PICTURE = base64.b64encode(b"no picture").decode()
REFUSED = [
    ("cnn", {"dataframe_records": [{"image": NO_PICTURE}]}, "image 0: is no picture"),
    ("cnn", {"dataframe_records": []}, "image"),
    ("lm", {"dataframe_records": [{"prompt": "The "}], "params": {"tokens": 0}}, "tokens: found 0, allowed is 1"),
    (
        "lm",
        {"dataframe_records": [{"prompt": "The "}], "params": {"top_p": 2.0}},
        "top_p: found 2.0, allowed is 0 to 1",
    ),
    ("lm", {"dataframe_records": [{"prompt": None}]}, "prompt 0 (counted from 0): found null, wanted text"),
    ("lm", {"dataframe_records": [{"prompt": "The "}], "params": {"seed": 2**70}}, "seed: found 118059"),
    ("diffusion", {"dataframe_records": [{"caption": "sevn"}]}, "unknown word 'sevn'"),
    ("diffusion", {"dataframe_records": [{"caption": "the two"}], "params": {"steps": 0}}, "steps: found 0"),
]


@pytest.mark.parametrize(("key", "question", "sentence"), REFUSED, ids=str)
def test_whoever_asks_a_server_wrongly_is_told_why_in_our_words(ask, key, question, sentence):
    status, answer = ask(key, question)
    assert status == 400 and sentence in answer["message"] and "unexpected error" not in answer["message"]


PICTURE = [[200] * 8] * 8
WRONG_SERIES = [
    ([[[200] * 7 + [None]]], "series 0, step 0, feature 7 (counted from 0): found null, wanted pixels"),
    ([PICTURE, [[200] * 8, [float("nan")] * 8]], "series 1, step 1, feature 0 (counted from 0): found NaN"),
    ([[[200] * 7 + [float("inf")]]], "feature 7 (counted from 0): found Infinity"),
    ([[[0.5] * 8] * 8], "found 0.5, wanted pixels, which are whole numbers from 0 to 255 (multiply"),
    ([PICTURE, [[0.0, 1.0] * 4] * 8], "series 1 (counted from 0): found decimal numbers of at most 1"),
    ([[[-1] + [0] * 7]], "found -1, wanted pixels"),
    ([[["a"] * 8]], "found 'a', wanted pixels"),
    ([[[True] * 8]], "found True, wanted pixels"),
    ([[[200] * 7]], "series 0, step 0 (counted from 0): found 7 values, wanted a list of 8 features"),
    ([[200] * 8], "series 0, step 0 (counted from 0): found 200, wanted a list of 8 features"),
    ([[]], "series 0 (counted from 0): found [], wanted a list of steps"),
    ([PICTURE, None], "series 1 (counted from 0): found null, wanted a list of steps"),
]


@pytest.mark.parametrize(
    ("series", "sentence"), WRONG_SERIES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_wrong_series_are_refused_with_their_place(ask, series, sentence):
    status, answer = ask("rnn", {"inputs": series})
    assert status == 400 and sentence in answer["message"]


def test_series_of_different_lengths_are_answered_as_if_each_were_alone(ask):
    series = [[[step * 20 % 256] * 8 for step in range(length)] for length in (8, 3, 8, 5, 1)]
    status, together = ask("rnn", {"inputs": series})
    assert status == 200
    for one, answer in zip(series, together["predictions"], strict=True):
        _, alone = ask("rnn", {"inputs": [one]})
        assert alone["predictions"][0]["probabilities"] == pytest.approx(answer["probabilities"], rel=1e-5)
    assert ask("rnn", {"inputs": [[[float(value) for value in step] for step in PICTURE]]})[0] == 200


def test_numbers_beyond_the_models_type_are_refused():
    series = Array("float32", 1)
    (taken,) = series.checked(np.array([[[1], [-3]]]))
    assert taken.dtype == np.float32 and taken.tolist() == [[1], [-3]]
    with pytest.raises(BadInput, match="there is no series"):
        series.checked([])
    for number in (1e39, 10**400, float("-inf")):
        with pytest.raises(BadInput, match=r"series 0, step 1, feature 0 .*wanted a finite number within the range of"):
            series.checked([[[0.0], [number]]])


LONG = {"dataframe_records": [{"prompt": "The "}] * 100, "params": {"tokens": 4096}}
GOOD = {"dataframe_records": [{"prompt": "The "}], "params": {"tokens": 4}}


def limit_time(ask, key, monkeypatch, seconds):
    """Answer within another time; returns the server."""
    model, server = ask.of(key)
    monkeypatch.setitem(inspect.unwrap(type(model.unwrap_python_model()).predict).__globals__, "SECONDS", seconds)
    return server


ENCODED = base64.b64encode(png(0)).decode()
TOO_MUCH = [
    (
        "lm",
        {"dataframe_records": [{"prompt": "a"}], "params": {"tokens": 10**6}},
        "tokens: found 1000000",
    ),
    ("lm", {"dataframe_records": [{"prompt": "a"}] * 300}, "prompt: found 300 in the request, allowed are 256"),
    ("lm", {"dataframe_records": [{"prompt": "a" * 2**21}]}, "prompt: found 2,097,152 characters"),
    (
        "diffusion",
        {"dataframe_records": [{"caption": "the two"}] * 33},
        "caption: found 33",
    ),
    ("diffusion", {"dataframe_records": [{"caption": "the two"}], "params": {"steps": 10**6}}, "steps: found 1000000"),
    ("cnn", {"dataframe_records": [{"image": ENCODED}] * 257}, "image: found 257 in the request"),
]


@pytest.mark.parametrize(("key", "question", "words"), TOO_MUCH, ids=[words for _, _, words in TOO_MUCH])
def test_too_much_in_a_question_is_refused_at_once(ask, key, question, words):
    ask.of(key)  # loads the model
    began = time.monotonic()
    status, answer = ask(key, question)
    assert status == 400 and words in answer["message"] and time.monotonic() - began < 5


def test_a_picture_after_the_time_is_not_classified(ask, monkeypatch):
    limit_time(ask, "cnn", monkeypatch, 1e-6)
    status, answer = ask("cnn", {"dataframe_records": [{"image": ENCODED}]})
    assert status == 504 and "takes longer than" in answer["message"]


@pytest.mark.parametrize("key", ["lm", "diffusion"])
def test_an_answer_that_takes_too_long_ends(ask, key, monkeypatch):
    limit_time(ask, key, monkeypatch, 0.3)
    drawn = {"dataframe_records": [{"caption": "the two"}] * 32, "params": {"steps": 1000}}
    began = time.monotonic()
    status, answer = ask(key, LONG if key == "lm" else drawn)
    assert status == 504 and "takes longer than 0.3 s" in answer["message"] and time.monotonic() - began < 5


def test_abandoned_questions_do_not_starve_a_good_one(ask, monkeypatch):
    server = limit_time(ask, "lm", monkeypatch, 1.5)

    async def asked():
        abandoned = [asyncio.create_task(posted(server, json.dumps(LONG).encode())) for _ in range(45)]
        done, _ = await asyncio.wait(abandoned, timeout=5)
        refused = [task.result()[0] for task in done if task.result()[0] != 504]
        for task in abandoned:
            task.cancel()
        began = time.monotonic()
        while True:
            status, answer = await posted(server, json.dumps(GOOD).encode())
            if status == 200 or time.monotonic() - began > 20:
                return refused, status, time.monotonic() - began
            assert status == 429 and "other questions are being answered; ask again" in answer["message"]
            await asyncio.sleep(0.1)

    refused, status, waited = asyncio.run(asked())
    assert len(refused) >= 30 and set(refused) == {429}
    assert status == 200 and waited < 10
