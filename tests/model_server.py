"""MLflow's server of a trained model, called in the tests' own process without a network."""

import contextlib
import dataclasses
import io
import json
import sys
from pkgutil import resolve_name

import pytest
from mlflow.pyfunc import load_model, scoring_server
from PIL import Image

from quartet.artifacts.model_store import read_card
from quartet.families import FAMILIES
from quartet.tracking import store
from quartet.tracking.model_logging import log_model


def png(shade, size=(20, 30)):
    """A picture file of one shade."""
    stream = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(stream, "PNG")
    return stream.getvalue()


async def posted(server, body):
    """What MLflow's server, called without a network, answers to JSON: the status and the content."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    about = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": headers}
    await server(about, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(content)


@contextlib.contextmanager
def a_store(folder):
    """An MLflow database of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("QUARTET_TRACKING", "on")
        patch.setattr("sys.path", list(sys.path))  # to which MLflow adds the logged code
        yield


def server(model, key, tokenizer=None):
    """MLflow's server of a model folder, as it is logged and loaded."""
    return scoring_server.init(loaded(model, key, tokenizer))


def loaded(model, key, tokenizer=None):
    """A model folder, as MLflow logs and loads it."""
    kind, files, card = resolve_name(FAMILIES[key].served), {"model": model}, read_card(model)
    if key == "lm":
        files["tokenizer"] = tokenizer
    client, experiment = store.open_store()
    run_id = client.create_run(experiment).info.run_id
    example = {"cnn": [png(0)], "lm": ["The "], "diffusion": ["the two"]}.get(key)
    features = card["data"].get("features")
    taken = kind.interface(card).inputs
    sent = {"array": [[[0] * features] * 8], "dtype": taken.dtype} if key == "rnn" else taken.example(example)
    described = json.loads(json.dumps(dataclasses.asdict(kind.interface(card))))
    log_model(run_id, key, FAMILIES[key].served, files, described, sent)
    (logged,) = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    return load_model(logged.model_uri)
