"""Windows over a token stream."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.language.windows import TrainingWindows, scored_windows


@settings(deadline=None, max_examples=50)
@given(count=st.integers(1, 60), context=st.integers(2, 12), share=st.floats(0.1, 1), batch_size=st.integers(1, 4))
def test_every_token_is_scored_exactly_once(count, context, share, batch_size):
    stream = np.arange(1, count + 1, dtype=np.uint16)
    stride = max(1, math.ceil(context * share))
    scored = []
    for tokens, successors, mask in scored_windows(stream, 0, context, stride, batch_size, torch.device("cpu")):
        assert torch.equal(tokens[mask] + 1, successors[mask])
        scored += successors[mask].tolist()
    assert scored == stream.tolist()


def test_an_epoch_of_training_windows_covers_the_text_without_overlap_and_epochs_have_borders_of_their_own():
    windows = TrainingWindows(np.arange(50, dtype=np.uint16), 8, 0, torch.device("cpu"))
    starts = set()
    for epoch in range(200):
        tokens, successors = windows.batch(torch.arange(windows.count), epoch)
        assert torch.equal(tokens + 1, successors) and len(tokens.unique()) == windows.count * 8
        starts.add(tokens[0, 0].item())
    assert starts == set(range(10))  # 49 tokens have successors, five windows of 8 leave 9 to move by
    assert torch.equal(windows.batch(torch.tensor([2]), 7)[0], windows.batch(torch.arange(4), 7)[0][2:3])
