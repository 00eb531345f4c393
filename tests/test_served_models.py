"""The classes that serve trained models: what they take, what they return, and how MLflow is told."""

import base64
import dataclasses
import io
import json
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from family_plans import image_plan, language_plan, prepare, sequence_plan, text_to_image_plan, trained
from mlflow.types import DataType
from PIL import Image

from quartet.artifacts.model_store import read_card, save_model
from quartet.artifacts.writing import read_json
from quartet.families import FAMILIES
from quartet.tracking.model_logging import example_from, signature_of

PLANS = {"cnn": image_plan, "rnn": sequence_plan, "lm": language_plan, "diffusion": text_to_image_plan}
FOLDERS = {"cnn": "grey", "rnn": "sequences", "lm": "text", "diffusion": "grey"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Prepared data, and a model of every family trained on it for a few steps."""
    folder = tmp_path_factory.mktemp("served")
    prepare(folder)
    for key, plan_of in PLANS.items():
        info = read_json(folder / FOLDERS[key] / "info.json")
        _, plan = plan_of(folder, torch.device("cpu"))
        described = {name: info[name] for name in (*plan.card_keys, "source", "sha256")}
        weights = trained(plan_of, folder).weights
        about = {"network": plan.description, "data": described, "training": {}}
        save_model(folder / "models" / key, weights, family=key, **about)
    return folder


def served(data, key):
    kind = resolve_name(FAMILIES[key].served)
    return kind(data / "models" / key, {"tokenizer": data / "text/tokenizer.json"} if key == "lm" else {})


def interface(data, key):
    """As the recorder gets it: through JSON."""
    card = read_card(data / "models" / key)
    return json.loads(json.dumps(dataclasses.asdict(resolve_name(FAMILIES[key].served).interface(card))))


def png(shade, size=(20, 30)):
    stream = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(stream, "PNG")
    return stream.getvalue()


def test_pictures_of_any_size_get_classes_and_probabilities(data):
    model = served(data, "cnn")
    table = model.predict([png(0), png(255, (8, 8))], {})
    assert list(table.columns) == ["class", "probability", "probabilities"] and len(table) == 2
    for row in table.itertuples(index=False):
        assert sum(row.probabilities.values()) == pytest.approx(1)
        assert row.probability == max(row.probabilities.values()) == row.probabilities[row[0]]
        assert list(row.probabilities.values()) == sorted(row.probabilities.values(), reverse=True)
    with pytest.raises(ValueError, match=r"image 1: cannot be decoded"):
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
    assert tensor.type == np.dtype("uint8") and tensor.shape == (-1, -1, 8)
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
