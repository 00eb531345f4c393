"""Batches: epochs without repetition, any step by itself, like lengths together."""

import pytest
import torch

from quartet.datasets.batches import ShuffledBatches


def test_epochs_do_not_repeat_and_any_step_can_be_asked_alone():
    device = torch.device("cpu")
    batches = ShuffledBatches(103, 10, seed=0, device=device)
    steps = [batches.indices(step) for step in range(20)]
    for epoch in (steps[:10], steps[10:]):
        assert len(set(torch.cat(epoch).tolist())) == 100
    assert not torch.equal(torch.cat(steps[:10]), torch.cat(steps[10:]))
    assert torch.equal(ShuffledBatches(103, 10, seed=0, device=device).indices(17), steps[17])
    assert not torch.equal(ShuffledBatches(103, 10, seed=1, device=device).indices(17), steps[17])


def test_examples_of_like_lengths_share_a_batch():
    device, lengths = torch.device("cpu"), torch.randint(1, 300, (1003,), generator=torch.Generator().manual_seed(0))
    batches = ShuffledBatches(1003, 10, seed=0, device=device, lengths=lengths)
    epoch = [batches.indices(step) for step in range(100)]
    assert len(set(torch.cat(epoch).tolist())) == 1000
    padded = sum(10 * lengths[batch].max() for batch in epoch)
    assert padded < 1.15 * lengths.sum(), "at most one step in seven is padding"
    longest = torch.stack([lengths[batch].max() for batch in epoch]).float()
    assert longest[:50].mean() == pytest.approx(longest[50:].mean().item(), rel=0.3), "long batches come all along"
    assert torch.equal(
        ShuffledBatches(1003, 10, seed=0, device=device, lengths=lengths).indices(117), batches.indices(117)
    )
