"""The commands of `python -m quartet`, one file each."""
