"""The JSON and the arrays that stages read of each other, mutated in every place."""

import json
from pathlib import Path

import numpy as np
import pytest
from cases import DEEP, case, damaged, generators, mutated

from quartet.artifacts.json_reading import check_shape
from quartet.artifacts.model_store import read_card
from quartet.artifacts.rebuilding import rebuild_network
from quartet.artifacts.shapes import DATA, INFO, MANIFEST, RUN, SCORES, START
from quartet.artifacts.tensor_files import load_tensors, open_array, save_arrays
from quartet.artifacts.verification import read_described, write_described
from quartet.artifacts.writing import read_json
from quartet.datasets.images import load_images
from quartet.datasets.tokenizers import load_tokenizer, train_tokenizer
from quartet.images.networks import NETWORKS
from quartet.language.windows import token_stream
from quartet.reporting.page.html_tables import check_counts, class_counts, class_report, confusion_of, few_examples
from quartet.sequences.loading import load_sequences

COUNTS = {"train": 8, "validation": 2, "test": 2}
OF_ALL = {"source": "digits", "counts": COUNTS, "splits": {"classes": COUNTS}, "sha256": "0"}
OF_TEXT = {"bytes": 9, "characters": 9, "tokens": 9}
INFOS = {
    "images": {
        **OF_ALL,
        "classes": ["a", "b"],
        "caption_subject": "x",
        "size": 8,
        "channels": 1,
        "mean": [0],
        "std": [1],
    },
    "text": {
        **OF_ALL,
        "tokenizer": "bpe",
        "vocabulary_size": 9,
        "dtype": "uint16",
        "counts": dict.fromkeys(COUNTS, OF_TEXT),
    },
    "sequences": {**OF_ALL, "kind": "image-rows", "input": "pixels", "classes": ["a"], "steps": 8, "features": 8},
}
COUNTED = {
    "origin": "x",
    "warnings": [],
    "examples": COUNTS,
    "classes": ["a"],
    "class_counts": {name: [1] for name in COUNTS},
}
DESCRIBED = {
    **{f"info of {item}": (INFOS[item], INFO[item]) for item in INFOS},
    "manifest of images": ({**INFOS["images"], "checksums": {"a": "0"}}, MANIFEST["images"]),
    "manifest of text": ({"source": "docstrings", "split": "passages", "counts": {"bytes": 5}}, MANIFEST["text"]),
    "manifest of weights": ({"from": None, "file": "x", "sha256": "0"}, START),
    "scores": ({"accuracy": 0.9, "loss": 0.1, "parameters": 500}, SCORES),
    "run": ({"run_id": "0123"}, RUN),
    "data": (COUNTED, DATA),
}


def bytes_of(content, rng):
    """The content as JSON, of which some is damaged as bytes too."""
    text = json.dumps(content, indent=rng.choice((None, 2))).encode()
    return damaged(text, rng) if rng.random() < 0.5 else text


@pytest.mark.parametrize("kind", DESCRIBED)
def test_described_data_of_any_shape(tmp_path, kind):
    (content, shape), path = DESCRIBED[kind], tmp_path / "described.json"
    for rng in generators(450, kind):
        path.write_bytes(bytes_of(mutated(content, rng), rng))
        case(lambda: read_described(path, shape, "run `dvc repro`"), named=tmp_path.name)
    write_described(path, content)
    whole = path.read_bytes()
    for rng in generators(150, f"sealed {kind}"):
        path.write_bytes(damaged(whole, rng))
        case(lambda: read_described(path, shape, "run `dvc repro`"), named=tmp_path.name)


@pytest.mark.parametrize(
    "text", [b"[" * 3000, b'{"a": ' * 3000, b'{"a": ' + b"9" * 400 + b"}", b'{"a": 1e999}', b"{}{}", b"\xff", b""]
)
def test_json_beyond_all_bounds(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    case(lambda: read_json(tmp_path / "a.json"), named="a.json")
    case(lambda: check_shape({"a": DEEP}, {"a": int}, "a.json", "x"), named="a.json")


def test_cards_of_any_shape(tmp_path):
    arguments = {"name": "compact", "channels": 1, "classes": 2, "width": 8}
    card = {"family": "cnn", "network": arguments, "data": INFOS["images"], "training": {"steps": 5}, "sha256": "0"}
    (tmp_path / "model.safetensors").write_bytes(b"")

    def rebuild():
        rebuild_network(NETWORKS, read_card(tmp_path), {})

    for rng in generators(500, "cards"):
        (tmp_path / "card.json").write_bytes(bytes_of(mutated(card, rng), rng))
        case(rebuild)

    def small(value):
        return not isinstance(value, int | float) or abs(value) < 300

    for rng in generators(300, "networks"):
        changed = mutated(arguments, rng)
        if all(map(small, changed.values())):
            case(lambda changed=changed: rebuild_network(NETWORKS, {**card, "network": changed}, {}))


def test_arrays_of_any_bytes(tmp_path):
    images = {"images": np.zeros((4, 1, 3, 3), np.uint8), "labels": np.zeros(4, np.int64)}
    sequences = {"values": np.zeros((6, 2), np.uint8), "lengths": np.full(3, 2), "labels": np.zeros(3, np.int64)}
    path = tmp_path / "train.safetensors"
    for name, arrays in (("images", images), ("sequences", sequences)):
        save_arrays(path, arrays)
        whole = path.read_bytes()
        read = load_images if name == "images" else load_sequences
        for rng in generators(400, f"arrays of {name}"):
            path.write_bytes(damaged(whole[:200], rng) + whole[200:])
            case(lambda read=read: read(tmp_path, "train"), named="train.safetensors")
            case(lambda: open_array(path, "labels").sum(), named="train.safetensors")
            case(lambda: load_tensors(path, ("labels",)), named="train.safetensors")


def test_token_streams_and_tokenizers_of_any_bytes(tmp_path):
    (tmp_path / "train.bin").write_bytes(bytes(100))
    for rng in generators(500, "streams"):
        (tmp_path / "info.json").write_bytes(bytes_of(mutated(INFOS["text"], rng), rng))
        (tmp_path / "train.bin").write_bytes(bytes(rng.choice((0, 1, 3, 100))))
        case(lambda: token_stream(tmp_path, "train").sum())
    (tmp_path / "info.json").unlink()
    path = tmp_path / "tokenizer.json"
    whole = train_tokenizer("bpe", ["the value of the array\n"] * 9, 300).to_str().encode()
    for rng in generators(400, "tokenizers"):
        path.write_bytes(damaged(whole, rng))
        case(lambda: load_tokenizer(path), named="tokenizer.json")


def test_the_tables_of_a_report_of_any_bytes(tmp_path):
    path = tmp_path / "table.csv"
    matrix = b"actual,a,b\na,3,1\nb,0,5\n"
    report = b"class,precision,recall,f1,support\na,0.5,0.5,0.5,4\nb,1.0,1.0,1.0,5\nmacro,1,1,1,9\nweighted,1,1,1,9\n"
    for rng in generators(500, "tables"):
        path.write_bytes(damaged(matrix, rng))
        case(lambda: confusion_of(path), named="table.csv")
        path.write_bytes(damaged(report, rng))
        case(lambda: class_report(path), named="table.csv")

    def shown(data):
        check_shape(data, DATA, "data.json", "x")
        check_counts(data, Path("data.json"))
        few_examples(data)
        class_counts(data)

    for rng in generators(400, "counts"):
        data = mutated(COUNTED, rng)
        case(lambda data=data: shown(data))
