"""The language family: text, and networks that predict it token by token."""

BLANK = "___"  # in a prompt: what an encoder-decoder fills
