"""How the learning rate runs over the training."""

import math


def share_of_peak(step: int, steps: int, *, schedule: str, warmup: float) -> float:
    """Share of the peak learning rate at `step` of `steps`: a linear rise, then what `schedule` names.

    `warmup` is the share of the steps that the rise takes. `linear` falls in a line and ends near zero; `cosine`
    falls along half a cosine (Loshchilov & Hutter 2017); `constant` stays.
    """
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    left = (steps - step) / max(steps - rise, 1)  # from 1 to almost 0
    return {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1.0}[schedule]
