"""Train a network on sequences: `plan.py` says how, by task and network."""
