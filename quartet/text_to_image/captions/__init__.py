"""Captions: made from class names, over a small vocabulary, or as people write them, in sub-word tokens."""
