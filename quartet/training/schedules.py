"""Learning rate schedules."""

import math


def learning_rate_factor(step: int, steps: int, *, schedule: str, warmup: float) -> float:
    """The learning rate at `step` of `steps`, as a share of its peak: a linear warm-up, then `schedule`.

    `warmup` is the share of the steps that the warm-up takes. `linear` decays linearly to almost zero, `cosine` along
    half a cosine (Loshchilov & Hutter 2017); `constant` stays at the peak.
    """
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    left = (steps - step) / max(steps - rise, 1)  # from 1 to almost 0
    return {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1.0}[schedule]
