"""A sequence classifier's logits over a whole split."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from quartet.sequences.loading import Sequences, network_inputs
from quartet.training.parallel.spreading import spread


@torch.no_grad()
def logits_over_sequences(network: nn.Module, sequences: Sequences, info: Mapping[str, Any], batch_size: int) -> Tensor:
    """`(examples, classes)` logits of sequences of different lengths; `info` describes their values."""
    batches = torch.arange(len(sequences), device=sequences.lengths.device).split(batch_size)

    def logits_of(chosen: Tensor) -> tuple[Tensor]:
        values, lengths = sequences.padded(chosen)
        # Without lengths, torch's modules need no packing, which is faster.
        same = bool((lengths == values.shape[1]).all())
        return (network(network_inputs(values, info), None if same else lengths),)

    return torch.cat([logits for (logits,) in spread(logits_of, batches, sequences.lengths.device)])
