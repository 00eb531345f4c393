"""Inside a recurrent network: accuracy after part of a sequence, paths of hidden states, vanishing gradients."""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from quartet.layers.recurrent_cells import CELLS
from quartet.sequences.loading import Sequences
from quartet.sequences.networks.recurrent import RecurrentClassifier
from quartet.sequences.training.predictions import logits_over_sequences

TENTHS = tuple(range(1, 11))


def accuracy_by_tenths_read(network: nn.Module, sequences: Sequences, info: dict, batch_size: int) -> list[float]:
    """The accuracy if only the first tenth, two tenths, … of each sequence are read."""
    accuracies = []
    for tenths in TENTHS:
        logits = logits_over_sequences(network, _first_tenths(sequences, tenths), info, batch_size)
        accuracies.append((logits.argmax(dim=1) == sequences.labels).cpu().double().mean().item())
    return accuracies


def _first_tenths(sequences: Sequences, tenths: int) -> Sequences:
    """The first `tenths` tenths of the steps of each sequence, rounded up."""
    kept = (sequences.lengths * tenths + 9) // 10
    starts = sequences.lengths.cumsum(0) - sequences.lengths
    within = torch.arange(len(sequences.values), device=kept.device) - starts.repeat_interleave(sequences.lengths)
    inside = within < kept.repeat_interleave(sequences.lengths)
    return dataclasses.replace(sequences, values=sequences.values[inside], lengths=kept)


@torch.no_grad()
def trajectories(network: RecurrentClassifier, inputs: Tensor, lengths: Tensor) -> list[np.ndarray]:
    """The path of each sequence's hidden state, projected on the first two principal components: `(steps, 2)` each."""
    states = network.states(inputs, lengths)[..., : network.hidden_size]  # the forward direction
    paths = [path[:length].cpu().numpy() for path, length in zip(states, lengths.tolist(), strict=True)]
    everything = np.concatenate(paths)
    centre = everything.mean(axis=0)
    _, _, directions = np.linalg.svd(everything - centre, full_matrices=False)
    plane = np.zeros((directions.shape[1], 2), directions.dtype)
    plane[:, : len(directions[:2])] = directions[:2].T  # a single unit has only one direction
    return [(path - centre) @ plane for path in paths]


def gradient_reach(cell: str, *, steps: int, features: int, hidden_size: int, seed: int) -> list[float]:
    """How much of the last state's gradient reaches the input of each step, in an untrained one-layer network.

    The norm of ∂‖h_T‖₁/∂x_t, averaged over 32 random sequences and divided by that of the last step. It shows the
    vanishing gradient (Bengio et al. 1994), and how gates reduce it.
    """
    generator = torch.Generator().manual_seed(seed)
    network = CELLS[cell](features, hidden_size, 1, batch_first=True)
    with torch.no_grad():
        for weight in network.parameters():
            weight.uniform_(-(hidden_size**-0.5), hidden_size**-0.5, generator=generator)
    inputs = torch.randn(32, steps, features, generator=generator).requires_grad_()
    states, _ = network(inputs)
    (gradient,) = torch.autograd.grad(states[:, -1].abs().sum(), inputs)
    norms = gradient.norm(dim=2).mean(dim=0)
    return (norms / norms[-1].clamp_min(1e-30)).tolist()
