"""Trained models, asked in their own terms: by the commands and by MLflow's server alike."""

BLANK = "___"  # in a prompt: what an encoder-decoder fills
