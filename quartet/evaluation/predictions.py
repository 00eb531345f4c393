"""What a classifier says over a whole split, and how validation scores it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.no_grad()
def logits_over(
    network: nn.Module, inputs: Tensor, prepare: Callable[[Tensor], Tensor], batch_size: int = 256
) -> Tensor:
    """`(examples, classes)` logits of a whole split, batch by batch, `prepare` applied to each batch first."""
    return torch.cat([network(prepare(batch)) for batch in inputs.split(batch_size)])


def validation_scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """`loss` (cross-entropy, nats), `accuracy`, and `score`: the accuracy, less the loss as a tie-breaker."""
    loss = F.cross_entropy(logits, labels).item()
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    # Small validation splits tie often; among equals the smaller loss is the better network.
    return {"loss": loss, "accuracy": accuracy, "score": accuracy - 1e-3 * min(loss, 10.0)}
