"""A classifier's logits over a whole split, and its validation scores."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.training.parallel.spreading import spread

if TYPE_CHECKING:
    from quartet.datasets.images import Images


VALIDATION_BATCH_FACTOR = 4  # validation batches are this many times larger, since they need no memory for gradients


@torch.no_grad()
def logits_over(
    network: Callable[[Tensor], Tensor], inputs: "Images", prepare: Callable[[Tensor], Tensor], batch_size: int
) -> Tensor:
    """`(examples, classes)` logits of a whole split, computed in batches; `prepare` is applied to each batch first."""
    parts = spread(lambda batch: (network(prepare(batch)),), inputs.split(batch_size), inputs.device)
    return torch.cat([logits for (logits,) in parts])


def validation_scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """`loss` (cross-entropy, nats), `accuracy`, and `score` (the accuracy)."""
    loss = F.cross_entropy(logits, labels).item()
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    return {"loss": loss, "accuracy": accuracy, "score": accuracy}
