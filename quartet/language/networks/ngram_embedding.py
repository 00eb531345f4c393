"""N-gram embeddings: vectors for pairs and triples of tokens, looked up in hashed tables.

In a training of a minute, a Transformer spends most of the time learning what short strings of tokens mean. A table
learns that at once, and a look-up costs almost nothing (Roy et al. 2022, Huang et al. 2025). Strings are hashed, since
there are too many combinations; the network can distinguish strings that share a row by their context.
"""

import torch
from torch import Tensor, nn

FACTORS = (1_000_003, 7_919, 104_729, 1_299_709)  # primes: one for the token itself and for each token before it


class NgramEmbedding(nn.Module):
    """A table for the last two tokens and one for the last three; each gives half of the features. Starts at zero.

    Args:
        rows: rows per table.
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
        """How many previous tokens are used."""
        return len(self.tables)

    def forward(self, tokens: Tensor, before: Tensor) -> Tensor:
        """Token ids `(batch, steps)`, and the `(batch, reach)` ids before them, to `(batch, steps, width)`."""
        known = torch.cat([before, tokens], dim=1)  # (batch, reach + steps)
        hashed, found = tokens * FACTORS[0], []
        for distance, table in enumerate(self.tables, start=1):
            start = self.reach - distance
            hashed = hashed + known[:, start : start + tokens.shape[1]] * FACTORS[distance]
            found.append(table(hashed % self.rows))
        return torch.cat(found, dim=2)
