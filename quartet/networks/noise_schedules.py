"""The forward process: how a picture turns into noise.

Rectified flow (Liu et al. 2022; Lipman et al. 2022): the straight line from the picture x_0 to the noise ε,
    x_t = (1 − t) x_0 + t ε,    0 ≤ t ≤ 1,
with the constant velocity dx_t / dt = ε − x_0, which the network learns to predict.
"""

from torch import Tensor


def add_noise(clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """`x_t` on the line from `clean` (t = 0) to `noise` (t = 1).

    Args:
        clean, noise: `(batch, channels, size, size)`.
        times: `(batch,)` in [0, 1].
    """
    t = times.view(-1, 1, 1, 1)
    return (1 - t) * clean + t * noise


def velocity(clean: Tensor, noise: Tensor) -> Tensor:
    """The direction from picture to noise, the training target: `(batch, channels, size, size)`."""
    return noise - clean
