"""Checkpoints of a test's training, and damage to them."""

import json

from quartet.artifacts.checksums import sha256
from quartet.artifacts.tensor_files import load_tensors, save_tensors


def generations(folder):
    return sorted(path for path in folder.iterdir() if path.name.isdecimal())


def reseal(generation, name):
    """As if a state had been saved so: with the right checksum."""
    told = json.loads((generation / "checksums.json").read_text())
    told[name] = sha256(generation / name)
    (generation / "checksums.json").write_text(json.dumps(told))


def lose_a_tensor(prefix):
    def damage(generation):
        tensors = load_tensors(generation / "state.safetensors")
        del tensors[next(name for name in sorted(tensors) if name.startswith(prefix))]
        save_tensors(generation / "state.safetensors", tensors)
        reseal(generation, "state.safetensors")

    return damage
