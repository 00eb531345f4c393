"""Our version of a well-known recipe for a small GPT on a CPU, for comparison in the language benchmark.

Four layers, four heads, width 128, context 64, batch 12, 2,000 steps of AdamW at 1e-3 with warm-up and cosine decay,
random crops, no dropout (Karpathy's nanoGPT, 2022, "I only have a macbook").
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS, HEADS, WIDTH, CONTEXT, BATCH, STEPS = 4, 4, 128, 64, 12, 2000
PEAK, LOWEST, WARMUP = 1e-3, 1e-4, 100


class Block(nn.Module):
    """A pre-norm block: LayerNorm, causal attention, LayerNorm, feed-forward layer with GELU."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.projections = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH, bias=False)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """`(batch, steps, width)` to the same."""
        batch, steps, _ = hidden.shape
        split = self.projections(self.first(hidden)).view(batch, steps, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*split, is_causal=True)
        hidden = hidden + self.output(mixed.transpose(1, 2).reshape(batch, steps, WIDTH))
        return hidden + self.mlp(self.second(hidden))


class SmallGpt(nn.Module):
    """GPT-2 with learned positions and tied embeddings."""

    def __init__(self, vocabulary_size: int):
        super().__init__()
        self.context = CONTEXT
        self.tokens, self.places = nn.Embedding(vocabulary_size, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                deep = name.endswith(("output.weight", "mlp.2.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if deep else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, steps)` ids to `(batch, steps, vocabulary)` logits of the next tokens."""
        hidden = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        return F.linear(self.norm(self.blocks(hidden)), self.tokens.weight)


def small_cpu_training(network: SmallGpt, stream: np.ndarray) -> Iterator[int]:
    """Train on random crops of a token stream; yields the number of steps taken after each step."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))
    for step in range(STEPS):
        rising = (step + 1) / (WARMUP + 1)
        falling = 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))
        rate = PEAK * rising if step < WARMUP else LOWEST + falling * (PEAK - LOWEST)
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = torch.randint(len(stream) - CONTEXT - 1, (BATCH,)).tolist()
        rows = np.stack([stream[start : start + CONTEXT + 1] for start in starts]).astype(np.int64)
        batch = torch.from_numpy(rows)
        loss = F.cross_entropy(network(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        yield step + 1
