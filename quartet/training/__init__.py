"""The training loop that all families share, and its parts."""
