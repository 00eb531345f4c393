"""Insights into a language model: costs by kind of character and by position, attention maps, nearest words."""

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from quartet.language.networks.interface import LanguageModel

KINDS = (
    *("lower case", "upper case", "digits", "spaces", "line breaks", "punctuation", "other letters"),
    "parts of characters",
)


def kind_of(character: str) -> str:
    """The kind of a character, one of `KINDS`."""
    if character == "\ufffd":  # a token that is part of a character
        return "parts of characters"
    if character in "\n\r":
        return "line breaks"
    if character.isspace():
        return "spaces"
    if character.isdigit():
        return "digits"
    if not character.isalpha():
        return "punctuation"
    if not character.isascii():
        return "other letters"
    return "upper case" if character.isupper() else "lower case"


def cost_by_kind(nats: np.ndarray, stream: np.ndarray, texts: list[str]) -> pd.DataFrame:
    """Bits per character for each kind of character; a token's cost is spread evenly over its characters.

    Args:
        nats: `(tokens,)` cost of each token of the stream.
        stream: `(tokens,)` ids.
        texts: the text of each token of the vocabulary.

    Returns:
        One row per kind that occurs: `kind`, `characters`, `bits_per_character`.
    """
    counts = np.zeros((len(texts), len(KINDS)))
    for token in np.unique(stream):
        for character in texts[token]:
            counts[token, KINDS.index(kind_of(character))] += 1
    lengths = counts.sum(axis=1)
    costs = np.bincount(stream, weights=nats, minlength=len(texts)) / np.maximum(lengths, 1)  # per character
    occurrences = np.bincount(stream, minlength=len(texts))
    characters, bits = occurrences @ counts, costs @ counts / np.log(2)
    rows = [
        {"kind": kind, "characters": int(count), "bits_per_character": round(total / count, 6)}
        for kind, count, total in zip(KINDS, characters, bits, strict=True)
        if count
    ]
    return pd.DataFrame(rows)


def cost_by_position(nats: np.ndarray, context: int, bytes_per_token: float) -> pd.DataFrame:
    """Bits per byte by a token's position in its window (windows do not overlap): how much does more context help?

    Positions are grouped in powers of two. Columns: `from`, `to` (inclusive, counted from 1), `bits_per_byte`.
    """
    places = np.arange(len(nats)) % context + 1
    rows, start = [], 1
    while start <= min(context, len(nats)):
        end = min(2 * start - 1, context)
        inside = (places >= start) & (places <= end)
        bits = nats[inside].mean() / np.log(2) / bytes_per_token
        rows.append({"from": start, "to": end, "bits_per_byte": round(float(bits), 6)})
        start = end + 1
    return pd.DataFrame(rows)


def neighbours(
    embedding: torch.Tensor, stream: np.ndarray, texts: list[str], words: int = 12, nearest: int = 6
) -> pd.DataFrame:
    """The most frequent words that are a single token, each with the tokens of the most similar embeddings.

    Args:
        embedding: `(vocabulary, features)`.
        stream: `(tokens,)` of the test text, for the frequencies.
        texts: the text of each token of the vocabulary.
        words: number of words.
        nearest: number of neighbours per word.

    Returns:
        One row per word: `token`, `neighbours` with their cosine similarities.
    """
    counts = np.bincount(stream, minlength=len(texts))
    longest = max((len(text.strip()) for text in texts if text.strip().isalpha()), default=1)
    shown = [n for n in np.argsort(-counts, kind="stable") if _is_word(texts[n], min(5, longest)) and counts[n]][:words]
    directions = F.normalize(embedding[: len(texts)].float(), dim=1)
    seen = torch.from_numpy(counts > 0).to(embedding.device)
    rows = []
    for token in shown:
        cosines = (directions @ directions[token]).masked_fill(~seen, -1)
        cosines[token] = -1
        near = cosines.topk(min(nearest, len(texts) - 1))
        pairs = zip(near.values.tolist(), near.indices.tolist(), strict=True)
        named = [f"{texts[n].strip()} {cosine:.2f}" for cosine, n in pairs]
        rows.append({"token": texts[token].strip(), "neighbours": ", ".join(named)})
    return pd.DataFrame(rows, columns=["token", "neighbours"])


def _is_word(text: str, letters: int) -> bool:
    return text.strip().isalpha() and len(text.strip()) >= letters


@torch.no_grad()
def attention_maps(network: LanguageModel, tokens: torch.Tensor) -> np.ndarray | None:
    """The attention between the tokens of `(1, steps)`: `(layers, heads, steps, steps)`; None without attention."""
    maps = network.attention_maps(tokens)
    return torch.stack(maps)[:, 0].float().cpu().numpy() if maps else None
