"""The sum of the processes' gradients, which is that of the whole batch."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn

from quartet.training.parallel.collectives import answered, sum_over_processes

TALL = 4096  # rows of a table, such as an embedding, of which a batch touches few


def sum_gradients(network: nn.Module, loss: Tensor) -> None:
    """Replace the gradients of a network, and the loss, by their sums over all processes.

    Of a tall table on a CPU, only rows are sent that are not zero everywhere: a network between machines, or the memory
    that processes share, is slower than a look at the table. GPUs send all, since they would have to be waited for.
    """
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    tall = [each for each in gradients if each.ndim == 2 and len(each) >= TALL and each.device.type == "cpu"]
    places = _touched(tall)
    rows = [gradient[chosen] for gradient, chosen in zip(tall, places, strict=True)]
    short = [gradient for gradient in gradients if not any(gradient is each for each in tall)]
    sum_over_processes([*short, *rows, loss])
    for gradient, chosen, summed in zip(tall, places, rows, strict=True):
        gradient[chosen] = summed


def _touched(tables: Sequence[Tensor]) -> list[Tensor]:
    """The rows of each table that are not zero in some process."""
    if not tables:
        return []
    touched = torch.cat([table.any(dim=1) for table in tables]).to(torch.uint8)
    with answered():
        distributed.all_reduce(touched, distributed.ReduceOp.MAX)
    return [part.nonzero()[:, 0] for part in touched.split([len(table) for table in tables])]
