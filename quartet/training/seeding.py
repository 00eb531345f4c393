"""Randomness that depends on the seed and the step alone, so that a resumed training goes on as if never stopped."""

import numpy as np
import torch
import torch.utils.deterministic


def seed_everything(seed: int) -> None:
    """Seed torch's default generators (initial weights) and ask for deterministic algorithms."""
    torch.manual_seed(seed)
    # On a GPU a few operations have no deterministic form; there a warning is all that can be had. This call is
    # `use_deterministic_algorithms` without its import of the compiler, which takes 2.7 seconds.
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")
    # No operation here reads memory before writing it; filling each tensor first would cost a tenth of a small step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    torch.backends.cudnn.benchmark = False


def seed_step(generator: torch.Generator, seed: int, step: int) -> None:
    """Seed the generator of the batches and torch's default one (dropout) for one step."""
    for_batches, for_dropout = (int(state) for state in np.random.SeedSequence((seed, step)).generate_state(2))
    generator.manual_seed(for_batches)
    # `torch.manual_seed` would seed every kind of device, which takes a millisecond.
    torch.default_generator.manual_seed(for_dropout)
    if generator.device.type == "cuda":
        torch.cuda.manual_seed(for_dropout)
    elif generator.device.type == "mps":
        torch.mps.manual_seed(for_dropout)
