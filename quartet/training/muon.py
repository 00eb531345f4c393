"""Muon (Jordan et al. 2024): orthogonalised momentum, for matrices and convolution kernels.

    m ← μ m + (1 − μ) g
    u = (1 − μ) g + μ m
    w ← (1 − η λ) w − 0.2 η √max(rows, columns) · orthogonalised(u)

The factor makes updates as large as AdamW's, so that both can share a learning rate η (Liu et al. 2025).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from quartet.training.devices import is_fast_in_bfloat16


class Muon(torch.optim.Optimizer):
    """Like torch's Muon, but it orthogonalises all weights of one shape at once, and also takes convolution kernels.

    A kernel `(outputs, inputs, height, width)` is updated as the matrix `(outputs, inputs · height · width)`: each
    output is a linear function of a patch. The columns are in memory order (inputs last for a channels-last kernel);
    their order does not matter, since permuting the columns permutes the result in the same way.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float | Tensor,
        weight_decay: float,
        momentum: float = 0.95,
    ):
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all weights from their gradients; `closure` is ignored."""
        for group in self.param_groups:
            of_shape: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    of_shape.setdefault(_as_matrix(weight, weight).shape, []).append((weight, weight.grad))
            for shape, pairs in of_shape.items():
                self._update(pairs, shape, group)

    def _update(self, pairs: list[tuple[nn.Parameter, Tensor]], shape: torch.Size, group: dict) -> None:
        """Update all weights of one shape, given in pairs with their gradients."""
        weights = [weight for weight, _ in pairs]
        gradients = [_as_matrix(gradient, weight) for weight, gradient in pairs]
        momenta = [self._momentum(weight, shape) for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        wanted = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov momentum
        updates = orthogonalised(torch.stack(wanted))  # (weights, rows, columns)
        rate = 0.2 * group["lr"] * math.sqrt(max(shape))
        matrices = [_as_matrix(weight, weight) for weight in weights]
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_sub_(matrices, list((updates.float() * rate).unbind()))

    def _momentum(self, weight: nn.Parameter, shape: torch.Size) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum"] = weight.new_zeros(shape)
        return state["momentum"]


def orthogonalised(matrices: Tensor) -> Tensor:
    """`(matrices, rows, columns)` with singular values moved close to one; in bfloat16 where that is fast.

    Five Newton-Schulz steps with Jordan's quintic polynomial, which is steep at zero; the singular values end between
    0.7 and 1.2.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices  # (matrices, shorter, longer)
    if is_fast_in_bfloat16(x.device):
        x = x.bfloat16()
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(5):
        gram = x @ x.mT  # (matrices, shorter, shorter)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


def _as_matrix(tensor: Tensor, weight: nn.Parameter) -> Tensor:
    """View `(outputs, …)` as `(outputs, rest)`, with the columns in the memory order of `weight`."""
    inner = sorted(range(1, weight.ndim), key=lambda dimension: weight.stride(dimension), reverse=True)
    matrix = tensor.permute(0, *inner)
    return matrix.view(len(weight), -1) if tensor.data_ptr() == weight.data_ptr() else matrix.reshape(len(weight), -1)
