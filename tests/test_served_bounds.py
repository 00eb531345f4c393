"""What a server refuses: too much in a question, an answer that takes too long, too many questions at once."""

import asyncio
import base64
import json
import time

import pytest
from family_plans import FOLDERS, PLANS, prepare, save_trained
from mlflow.pyfunc import scoring_server
from model_server import a_store, loaded, png, posted

from quartet.artifacts.writing import read_json

LONG = {"dataframe_records": [{"prompt": "The "}] * 100, "params": {"tokens": 4096}}
GOOD = {"dataframe_records": [{"prompt": "The "}], "params": {"tokens": 4}}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of three families, as MLflow loads them."""
    folder = tmp_path_factory.mktemp("bounded")
    prepare(folder)
    with a_store(folder / "store"):
        for key in ("cnn", "lm", "diffusion"):
            info = read_json(folder / FOLDERS[key] / "info.json")
            save_trained(PLANS[key], folder, info, folder / "models" / key, key)
        yield {
            key: loaded(folder / "models" / key, key, folder / "text/tokenizer.json")
            for key in ("cnn", "lm", "diffusion")
        }


def limited(model, monkeypatch, seconds):
    """The model's server with another limit of time."""
    monkeypatch.setitem(type(model.unwrap_python_model()).predict.__globals__, "SECONDS", seconds)
    return scoring_server.init(model)


PICTURE = base64.b64encode(png(0)).decode()
TOO_MUCH = [
    (
        "lm",
        {"dataframe_records": [{"prompt": "a"}], "params": {"tokens": 10**6}},
        "tokens: found 1000000, allowed is at",
    ),
    ("lm", {"dataframe_records": [{"prompt": "a"}] * 300}, "prompt: found 300 in the request, allowed are 256"),
    ("lm", {"dataframe_records": [{"prompt": "a" * 2**21}]}, "prompt: found 2,097,152 characters"),
    (
        "diffusion",
        {"dataframe_records": [{"caption": "the two"}] * 33},
        "caption: found 33 in the request, allowed are 32",
    ),
    ("diffusion", {"dataframe_records": [{"caption": "the two"}], "params": {"steps": 10**6}}, "steps: found 1000000"),
    ("cnn", {"dataframe_records": [{"image": PICTURE}] * 257}, "image: found 257 in the request"),
    ("cnn", {"dataframe_records": [{"image": PICTURE[:4] * 2**24}]}, "image: found 50,331,648 bytes in the request"),
]


@pytest.mark.parametrize(("key", "question", "words"), TOO_MUCH, ids=[words for _, _, words in TOO_MUCH])
def test_too_much_in_a_question_is_refused_at_once(models, key, question, words):
    server, began = scoring_server.init(models[key]), time.monotonic()
    status, answer = asyncio.run(posted(server, json.dumps(question).encode()))
    assert status == 400 and words in answer["message"] and time.monotonic() - began < 5


@pytest.mark.parametrize("key", ["lm", "diffusion"])
def test_an_answer_that_takes_too_long_ends(models, key, monkeypatch):
    server = limited(models[key], monkeypatch, 0.3)
    drawn = {"dataframe_records": [{"caption": "the two"}] * 32, "params": {"steps": 1000}}
    began = time.monotonic()
    status, answer = asyncio.run(posted(server, json.dumps(LONG if key == "lm" else drawn).encode()))
    assert status == 504 and "takes longer than 0.3 s" in answer["message"] and time.monotonic() - began < 5


def test_abandoned_questions_do_not_starve_a_good_one(models, monkeypatch):
    server = limited(models["lm"], monkeypatch, 1.5)

    async def asked():
        abandoned = [asyncio.create_task(posted(server, json.dumps(LONG).encode())) for _ in range(45)]
        done, _ = await asyncio.wait(abandoned, timeout=1)
        refused = [task.result()[0] for task in done]
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
