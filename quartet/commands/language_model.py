"""The trained language model, for the commands that ask it."""

from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts import paths

if TYPE_CHECKING:
    from quartet.language.serving import TextGenerator


def trained_generator() -> "TextGenerator":
    """The language model in `models/lm`, with its tokenizer.

    Raises:
        ValueError: the model is missing or damaged.
    """
    from quartet.language.serving import TextGenerator

    return TextGenerator(paths.model("lm"), own_tokenizer(paths.model("lm")))


def own_tokenizer(model: Path) -> dict[str, Path]:
    """The tokenizer that lies beside a model's weights, as the file that serving needs; empty if it reads no text."""
    tokenizer = model / "tokenizer.json"
    return {"tokenizer": tokenizer} if tokenizer.exists() else {}
