"""How the learning rate runs over the training."""


def warmup_then_decay(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` of `steps`: a linear rise, then a linear fall that ends near zero.

    `warmup` is the share of the steps that the rise takes.
    """
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return (steps - step) / max(steps - rise, 1)
