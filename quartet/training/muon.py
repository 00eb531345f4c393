"""Muon (Jordan et al. 2024) for weights of any shape: momentum, orthogonalised."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Muon(torch.optim.Muon):
    """torch's Muon, which takes matrices alone, also for convolution kernels.

    A kernel `(outputs, inputs, height, width)` is updated as the matrix `(outputs, inputs · height · width)`: each
    output is a linear function of a patch. The matrices are views, so a step changes the weights themselves. Their
    columns stand as they lie in memory (inputs last for a channels-last kernel); orthogonalisation moves along with
    the columns, so their order does not matter.
    """

    def __init__(self, weights: Iterable[nn.Parameter], **settings: object):
        self._weights = list(weights)
        super().__init__([nn.Parameter(_as_matrix(weight.detach(), weight)) for weight in self._weights], **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every weight by its gradient."""
        matrices = (matrix for group in self.param_groups for matrix in group["params"])
        for matrix, weight in zip(matrices, self._weights, strict=True):
            matrix.grad = None if weight.grad is None else _as_matrix(weight.grad.contiguous(), weight)
        return super().step(closure)


def _as_matrix(tensor: Tensor, weight: nn.Parameter) -> Tensor:
    """`(outputs, …)` as `(outputs, rest)`, its columns in the order in which `weight` lies in memory."""
    inner = sorted(range(1, weight.ndim), key=lambda dimension: weight.stride(dimension), reverse=True)
    matrix = tensor.permute(0, *inner)
    return matrix.view(len(weight), -1) if tensor.data_ptr() == weight.data_ptr() else matrix.reshape(len(weight), -1)
