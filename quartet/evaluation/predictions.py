"""What a classifier says over a whole split, and how validation scores it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.datasets.sequences import Sequences, network_inputs

VALIDATED = 4  # times a training batch: so many examples fit at once without gradients


@torch.no_grad()
def logits_over(network: nn.Module, inputs: Tensor, prepare: Callable[[Tensor], Tensor], batch_size: int) -> Tensor:
    """`(examples, classes)` logits of a whole split, batch by batch, `prepare` applied to each batch first."""
    return torch.cat([network(prepare(batch)) for batch in inputs.split(batch_size)])


@torch.no_grad()
def logits_over_sequences(
    network: nn.Module, sequences: Sequences, info: Mapping[str, object], batch_size: int
) -> Tensor:
    """`(examples, classes)` logits of sequences of any lengths; `info` says what their values are."""
    batches = torch.arange(len(sequences), device=sequences.lengths.device).split(batch_size)
    logits = []
    for chosen in batches:
        values, lengths = sequences.padded(chosen)
        # Without lengths torch's modules need not pack.
        same = bool((lengths == values.shape[1]).all())
        logits.append(network(network_inputs(values, info), None if same else lengths))
    return torch.cat(logits)


def validation_scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """`loss` (cross-entropy, nats), `accuracy`, and `score`, which is the accuracy."""
    loss = F.cross_entropy(logits, labels).item()
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    return {"loss": loss, "accuracy": accuracy, "score": accuracy}
