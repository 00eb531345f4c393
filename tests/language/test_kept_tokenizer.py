"""The tokenizer of a model in the registry is kept, byte by byte."""

import dataclasses

import pytest
import torch
from real_text import REFERENCE

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput
from quartet.artifacts.model_store import read_card, save_model
from quartet.artifacts.writing import write_text
from quartet.datasets.tokenizers import train_tokenizer
from quartet.language.preparation.fitting import fit_tokenizer
from quartet.language.serving import PROMPT
from quartet.language.settings import PreprocessText
from quartet.tracking import store
from quartet.tracking.model_logging import log_model
from quartet.tracking.served import Interface


def register(family, tokenizer):
    """Log a model, and register it as version 1."""
    client, experiment = store.open_store()
    run_id, model = client.create_run(experiment).info.run_id, paths.model(family)
    data = {"sha256": "a", "tokenizer": "bpe"}
    about = {"network": {"name": "none"}, "data": data, "training": {}, "files": [tokenizer]}
    save_model(model, {"weight": torch.zeros(1)}, family=family, **about)
    interface = dataclasses.asdict(Interface(PROMPT, "text"))
    log_model(run_id, family, "module:name", {"model": model}, interface, PROMPT.example(["The "]))
    (logged,) = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    client.create_registered_model(f"quartet-{family}")
    client.create_model_version(f"quartet-{family}", f"models:/{logged.model_id}", run_id=run_id)


def test_the_tokenizer_of_a_registered_model_is_kept(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("QUARTET_TRACKING", "on")
    own = train_tokenizer("bpe", REFERENCE[:5000].splitlines(keepends=True), 300)
    write_text(home / "tokenizer.json", own.to_str(pretty=True))
    for family in ("lm", "rnn"):
        register(family, home / "tokenizer.json")
    settings = PreprocessText(tokenizer="models:/quartet-lm/1", vocabulary_size=900)
    fitted = fit_tokenizer(settings, ["another text"], 12)
    assert fitted.content.encode() == (home / "tokenizer.json").read_bytes()
    assert fitted.about == {"tokenizer": "bpe", "tokenizer_from": "models:/quartet-lm/1"}
    assert fitted.tokenizer.encode("another text").ids == own.encode("another text").ids
    assert "preprocess.text.vocabulary_size: not used by a tokenizer that is kept" in capsys.readouterr().out
    fit_tokenizer(PreprocessText(tokenizer="byte", vocabulary_size=300), ["a text"], 6)
    assert "preprocess.text.vocabulary_size: not used by the tokenizer byte" in capsys.readouterr().out
    with pytest.raises(BadInput, match="models:/quartet-rnn/1 is a model of the family rnn, not a language model"):
        fit_tokenizer(PreprocessText(tokenizer="models:/quartet-rnn/1"), ["a"], 1)


def test_a_card_says_the_checksum_of_the_tokenizer_beside_it(tmp_path):
    write_text(tmp_path / "tokenizer.json", "{}")
    about = {"family": "lm", "network": {"name": "none"}, "data": {"sha256": "a"}, "training": {}}
    save_model(tmp_path / "model", {}, **about, files=[tmp_path / "tokenizer.json"])
    assert list(read_card(tmp_path / "model")["checksums"]) == ["tokenizer.json"]
    (tmp_path / "model/tokenizer.json").write_text("[]")
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected sha256"):
        read_card(tmp_path / "model")
    save_model(tmp_path / "model", {}, **about)
    assert "checksums" not in read_card(tmp_path / "model")
