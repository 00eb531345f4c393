"""How likely a text is under a language model, line by line."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer

from quartet.datasets.tokenizers import encode_each
from quartet.language.networks.interface import LanguageModel
from quartet.language.scoring import score_stream

BATCH = 64


def line_scores(
    network: LanguageModel, tokenizer: Tokenizer, lines: Iterable[str], device: torch.device
) -> pd.DataFrame:
    """Score every token of a text, given those before it in windows that overlap by half.

    Returns:
        A row per line: its number, bytes, tokens, `nats`, `bits_per_byte`, `perplexity` (per token) and text.
    """
    read = list(lines)
    encoded = encode_each(tokenizer, read)
    counts, stream = [len(tokens) for tokens in encoded], np.concatenate(encoded).astype(np.int64)
    costs = score_stream(network, stream, tokenizer, BATCH, device, sliding=True)["token_nats"]
    ends = np.cumsum(counts)
    rows = []
    for number, (line, count, end) in enumerate(zip(read, counts, ends.tolist(), strict=True), start=1):
        nats, size = float(costs[end - count : end].sum(dtype=np.float64)), len(line.encode())
        rows.append(
            {
                "line": number,
                "bytes": size,
                "tokens": count,
                "nats": nats,
                "bits_per_byte": nats / math.log(2) / size,
                "perplexity": math.exp(nats / count),
                "text": line.rstrip("\r\n"),
            }
        )
    return pd.DataFrame(rows)
