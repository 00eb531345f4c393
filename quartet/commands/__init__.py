"""The commands of `python -m quartet`, one per file."""
