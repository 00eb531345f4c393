"""The language family: networks that predict text token by token."""

import re

BLANK = "___"  # in a prompt: a blank for an encoder-decoder to fill
TRANSLATION = "translation"  # the task of models that are trained on pairs, in `info.json` and in their cards


def begun(text: str) -> str:
    """A side of a pair as it is encoded: after a space, so that a word's token does not depend on its place."""
    return f" {text}"


def one_line(text: str) -> str:
    """A text without white space around it and without line ends in it: one side of a pair."""
    return re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
