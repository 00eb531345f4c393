"""The pictures and tables of a language model's evaluation: baselines, what is hard, attention, neighbouring words."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from quartet.artifacts.writing import write_table
from quartet.datasets.tokenizers import decoded_tokens, token_texts
from quartet.language.insights import attention_maps, cost_by_kind, cost_by_place, neighbours
from quartet.language.networks.interface import LanguageModel
from quartet.reporting.figures import bars, save_figure
from quartet.reporting.text_figures import heads_sheet, text_heat

PASSAGE_TOKENS, ATTENTION_TOKENS = 300, 24  # of the test text


def draw_baselines(folder: Path, scores: Mapping[str, float]) -> None:
    """Bits per byte of the model beside those of compression and counting."""
    named = {
        "bz2": scores["baseline_bz2_bits_per_byte"],
        "xz": scores["baseline_xz_bits_per_byte"],
        "5-gram": scores["baseline_ngram_bits_per_byte"],
        "this model": scores["bits_per_byte"],
        "this model, sliding window": scores["sliding_bits_per_byte"],
    }
    figure = bars(list(named), list(named.values()), "The test text costs", "bits per byte", "this model")
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
    """What is easy and hard, what attention looks at, and which words are neighbours.

    `stream` and `nats` are the `(tokens,)` ids of the test text and what each cost, `byte_count` the text's length.
    """
    texts = token_texts(tokenizer)
    kinds = cost_by_kind(nats, stream, decoded_tokens(tokenizer))
    write_table(folder / "cost_by_kind.csv", kinds)
    title = "Cost of a character by its kind"
    figure = bars(list(kinds.kind), list(kinds.bits_per_character), title, "bits per character", "")
    save_figure(figure, folder / "cost_by_kind.png")
    places = cost_by_place(nats, network.context, byte_count / len(stream))
    write_table(folder / "cost_by_place.csv", places)
    names = [
        f"{low}" if low == high else f"{low} to {high}" for low, high in zip(places["from"], places["to"], strict=True)
    ]
    title = "Cost by a token's place in its window: what context is worth"
    save_figure(bars(names, list(places.bits_per_byte), title, "bits per byte", ""), folder / "cost_by_place.png")

    passage = [texts[token] for token in stream[:PASSAGE_TOKENS]]
    costs = [cost / len(text) for text, cost in zip(passage, nats[:PASSAGE_TOKENS], strict=True) for _ in text]
    title = "The beginning of the test text: how probable each character was (a token's are its geometric mean)"
    figure = text_heat("".join(passage), np.exp(-np.array(costs)).tolist(), title)
    save_figure(figure, folder / "next_character.png")
    shown = np.asarray(stream[: min(ATTENTION_TOKENS, network.context)]).astype(np.int64)
    maps = attention_maps(network, torch.from_numpy(shown)[None].to(device))
    if maps is not None:
        save_figure(heads_sheet(maps, [texts[token] for token in shown]), folder / "attention_heads.png")
    write_table(folder / "neighbours.csv", neighbours(network.embedding.weight.detach(), np.asarray(stream), texts))
