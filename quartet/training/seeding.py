"""Randomness that depends only on the seed and the step, so that a resumed training gives the same result."""

import numpy as np
import torch
import torch.utils.deterministic


def seed_everything(seed: int) -> None:
    """Seed torch's default generators (for the initial weights) and request deterministic algorithms."""
    torch.manual_seed(seed)
    # On a GPU a few operations have no deterministic form, so torch only warns there. This call is
    # `use_deterministic_algorithms` without importing the compiler, which takes 2.7 seconds.
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")
    # No operation here reads uninitialised memory; filling each tensor would take a tenth of a small step's time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    torch.backends.cudnn.benchmark = False


def seed_step(generator: torch.Generator, seed: int, step: int) -> None:
    """Seed the batches' generator, and torch's default generator (for dropout), for one step."""
    for_batches, for_dropout = (int(state) for state in np.random.SeedSequence((seed, step)).generate_state(2))
    generator.manual_seed(for_batches)
    # `torch.manual_seed` takes a millisecond, since it seeds every kind of device.
    torch.default_generator.manual_seed(for_dropout)
    if generator.device.type == "cuda":
        torch.cuda.manual_seed(for_dropout)
    elif generator.device.type == "mps":
        torch.mps.manual_seed(for_dropout)
