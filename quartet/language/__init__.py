"""The language family: networks that predict text token by token."""

BLANK = "___"  # in a prompt: a blank for an encoder-decoder to fill
TRANSLATION = "translation"  # the task of models that are trained on pairs, in `info.json` and in their cards
