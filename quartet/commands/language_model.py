"""The trained language model, for the commands that ask it."""

from typing import TYPE_CHECKING

from quartet.artifacts import paths

if TYPE_CHECKING:
    from quartet.language.serving import TextGenerator


def trained_generator() -> "TextGenerator":
    """The language model in `models/lm`, with the tokenizer of the data that it was trained on.

    Raises:
        ValueError: the model is missing or damaged, or was trained on other data than is there now.
    """
    from quartet.artifacts.model_store import read_card_for
    from quartet.language.serving import TextGenerator

    model, processed = paths.model("lm"), paths.processed("text")
    read_card_for(model, processed)
    return TextGenerator(model, {"tokenizer": processed / "tokenizer.json"})
