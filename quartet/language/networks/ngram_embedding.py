"""N-gram embeddings: what a token means after those just before it, looked up instead of computed.

A Transformer of a minute's training spends most of it on learning which short strings of tokens mean what. A table
learns that at once, and a look-up costs nothing (Roy et al. 2022, Huang et al. 2025). Strings are hashed, as the
combinations are too many; those that share a row are told apart by the network.
"""

import torch
from torch import Tensor, nn

FACTORS = (1_000_003, 7_919, 104_729, 1_299_709)  # primes: one for the token itself and for each token before it


class NgramEmbedding(nn.Module):
    """Tables of the last two and of the last three tokens, half of the features from each; zeros at the start.

    Args:
        rows: of each table.
        width: features per token.
    """

    def __init__(self, rows: int, width: int):
        super().__init__()
        self.rows = rows
        tables = [nn.Embedding(rows, size) for size in (width - width // 2, width // 2)]
        for table in tables:
            nn.init.zeros_(table.weight)
        self.tables = nn.ModuleList(tables)

    @property
    def reach(self) -> int:
        """How many tokens before a token matter."""
        return len(self.tables)

    def forward(self, tokens: Tensor, before: Tensor) -> Tensor:
        """Ids `(batch, steps)` and those of the `reach` tokens before them to `(batch, steps, width)`."""
        known = torch.cat([before, tokens], dim=1)  # (batch, reach + steps)
        hashed, found = tokens * FACTORS[0], []
        for distance, table in enumerate(self.tables, start=1):
            start = self.reach - distance
            hashed = hashed + known[:, start : start + tokens.shape[1]] * FACTORS[distance]
            found.append(table(hashed % self.rows))
        return torch.cat(found, dim=2)
