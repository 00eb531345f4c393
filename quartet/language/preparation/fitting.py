"""The tokenizer of a text: fitted to its training split, or kept from a language model that training goes on from."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

from quartet.artifacts.errors import BadInput
from quartet.artifacts.model_store import read_card
from quartet.artifacts.paths import user_path
from quartet.datasets.tokenizers import load_tokenizer, train_tokenizer, training_sample
from quartet.language.settings import PreprocessText
from quartet.params.fields import changed, say_idle

SETTING = "preprocess.text.tokenizer"
FOLDER, REGISTRY = "folder:", "models:/"


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A tokenizer.

    Attributes:
        tokenizer: itself.
        content: of its file. One that is kept is copied byte by byte, so that its checksum says that it is the same.
        about: entries of `info.json`: its kind, and which model it is from if it is kept.
    """

    tokenizer: Tokenizer
    content: str
    about: dict[str, str]


def fit_tokenizer(settings: PreprocessText, lines: Iterable[str], characters: int) -> Fitted:
    """Fit a tokenizer to `lines` with so many characters in all, or take the one that the settings keep.

    Raises:
        BadInput: there is no such model to keep it from, or the model there has none.
    """
    kind = settings.tokenizer
    if kind.startswith((FOLDER, REGISTRY)):
        say_idle("preprocess.text", changed(settings, ["vocabulary_size"]), "a tokenizer that is kept")
        return _kept(kind)
    if kind in ("byte", "character"):
        say_idle("preprocess.text", changed(settings, ["vocabulary_size"]), f"the tokenizer {kind}")
    fitted_to = training_sample(lines, characters) if kind == "bpe" else lines
    tokenizer = train_tokenizer(kind, fitted_to, settings.vocabulary_size)
    return Fitted(tokenizer, tokenizer.to_str(pretty=True), {"tokenizer": kind})


def _kept(given: str) -> Fitted:
    """The tokenizer of a model in a folder or in MLflow's registry."""
    model = _model_folder(given)
    card, file = read_card(model), model / "tokenizer.json"
    if card["family"] != "lm":
        raise BadInput(f"{SETTING}: {given} is a model of the family {card['family']}, not a language model")
    if not file.exists():
        raise BadInput(
            f"{SETTING}: {given} holds no tokenizer.json; it is from an earlier version: copy the one of the data "
            "that it was trained on beside its card.json"
        )
    about = {"tokenizer": card["data"]["tokenizer"], "tokenizer_from": given}
    return Fitted(load_tokenizer(file), file.read_bytes().decode(), about)


def _model_folder(given: str) -> Path:
    if given.startswith(REGISTRY):
        from quartet.tracking.registry import download_registered

        return download_registered(given)[0]
    folder = user_path(given.removeprefix(FOLDER))
    if not (folder / "card.json").exists():
        raise BadInput(f"{SETTING}: {folder} is no folder of a model; it holds no card.json")
    return folder
