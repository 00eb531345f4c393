"""The pictures and tables of a language model's evaluation: baselines, costs, attention, nearest words."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from quartet.artifacts.writing import write_table
from quartet.datasets.tokenizers import decoded_tokens, token_texts
from quartet.language.insights import attention_maps, cost_by_kind, cost_by_position, neighbours
from quartet.language.networks.interface import LanguageModel
from quartet.reporting.drawing.figures import bars, save_figure
from quartet.reporting.text_figures import heads_sheet, text_heat

PASSAGE_TOKENS, ATTENTION_TOKENS = 300, 24  # from the beginning of the test text


def draw_baselines(folder: Path, scores: Mapping[str, float]) -> None:
    """Plot bits per byte of the model and of the baselines."""
    named = {
        "bz2": scores["baseline_bz2_bits_per_byte"],
        "xz": scores["baseline_xz_bits_per_byte"],
        "5-gram": scores["baseline_ngram_bits_per_byte"],
        "this model": scores["bits_per_byte"],
        "this model, sliding window": scores["sliding_bits_per_byte"],
    }
    figure = bars(list(named), list(named.values()), "Cost of the test text", "bits per byte", "this model")
    save_figure(figure, folder / "baselines.png")


def draw_insights(
    folder: Path,
    network: LanguageModel,
    tokenizer: Tokenizer,
    stream: np.ndarray,
    nats: np.ndarray,
    byte_count: int,
    device: torch.device,
) -> None:
    """Draw costs by kind and position, token probabilities and attention maps; write the tables.

    `stream` and `nats` are the `(tokens,)` ids and costs of the test text, `byte_count` is its length.
    """
    texts = token_texts(tokenizer)
    kinds = cost_by_kind(nats, stream, decoded_tokens(tokenizer))
    write_table(folder / "cost_by_kind.csv", kinds)
    title = "Cost of a character by kind"
    figure = bars(list(kinds.kind), list(kinds.bits_per_character), title, "bits per character", "")
    save_figure(figure, folder / "cost_by_kind.png")
    places = cost_by_position(nats, network.context, byte_count / len(stream))
    write_table(folder / "cost_by_place.csv", places)
    names = [
        f"{low}" if low == high else f"{low} to {high}" for low, high in zip(places["from"], places["to"], strict=True)
    ]
    title = "Cost by a token's position in its window: the value of context"
    save_figure(bars(names, list(places.bits_per_byte), title, "bits per byte", ""), folder / "cost_by_place.png")

    passage = [texts[token] for token in stream[:PASSAGE_TOKENS]]
    costs = [cost / len(text) for text, cost in zip(passage, nats[:PASSAGE_TOKENS], strict=True) for _ in text]
    title = "The beginning of the test text: probability per character (geometric mean over each token)"
    figure = text_heat("".join(passage), np.exp(-np.array(costs)).tolist(), title)
    save_figure(figure, folder / "next_character.png")
    shown = np.asarray(stream[: min(ATTENTION_TOKENS, network.context)]).astype(np.int64)
    maps = attention_maps(network, torch.from_numpy(shown)[None].to(device))
    if maps is not None:
        save_figure(heads_sheet(maps, [texts[token] for token in shown]), folder / "attention_heads.png")
    write_table(folder / "neighbours.csv", neighbours(network.embedding.weight.detach(), np.asarray(stream), texts))
