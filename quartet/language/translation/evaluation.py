"""Score a translator on the test pairs, beside baselines; draw its attention, list its best and worst translations."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer

from quartet.artifacts.rebuilding import count_parameters
from quartet.artifacts.writing import write_table, write_text
from quartet.datasets.tokenizers import token_texts
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.settings import EvaluateLm
from quartet.language.translation.decoding import Search, longest_translation, translate
from quartet.language.translation.pairs import EncodedPairs, encoded_pairs
from quartet.language.translation.scores import (
    nearest_targets,
    sentence_scores,
    signatures,
    translation_scores,
    words_of,
)
from quartet.language.translation.scoring import score_pairs
from quartet.language.translation.translator import Translator
from quartet.reporting.drawing.figures import bars, line_figure, save_figure
from quartet.reporting.text_figures import alignment_sheet

SIDES = ("source", "target")
GROUPS = 6  # of sentences by length
ALIGNED = 4  # sentences whose attention is drawn
SHOWN = 10  # best and as many worst translations
MOST_LOOKED_UP = 2000  # test sources whose nearest training pair is looked for
MOST_TOKENS = 24  # in a sentence whose attention is drawn


def evaluate_translation(
    network: EncoderDecoder,
    tokenizer: Tokenizer,
    processed: Path,
    folder: Path,
    how: EvaluateLm,
    device: torch.device,
    *,
    languages: Sequence[str],
    batch_size: int,
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Score translations of the test sources; writes tables and pictures into the report's `folder`.

    `languages` are the names of source and target, for the report; `batch_size` is how many rows are written at once.

    Returns:
        The scores; and the `(tokens,)` ids of the test targets, and those that the network finds the most probable
        after what is before them.
    """
    pairs = encoded_pairs(processed, "test")
    texts = {split: tuple(_lines(processed, split, side) for side in SIDES) for split in ("train", "test")}
    sources, references = texts["test"]
    words, every = words_of(references), -(-len(sources) // MOST_LOOKED_UP)
    if every > 1:
        print(f"test: the nearest training pairs are those of every {every}th source", flush=True)
    translator = Translator(network, tokenizer)
    written = {
        "": _translations(translator, pairs, Search(how.beam, how.length_penalty), batch_size),
        "greedy_": _translations(translator, pairs, Search(beam=1), batch_size),
        "baseline_copy_": sources,
    }
    nearest = nearest_targets((texts["train"][0], texts["train"][1]), sources[::every])
    scores = {
        f"{prefix}{name}": value
        for prefix, translations, wanted in (
            *((prefix, translations, references) for prefix, translations in written.items()),
            ("baseline_nearest_", nearest, references[::every]),
        )
        for name, value in translation_scores(translations, wanted, words).items()
    }
    fitting = pairs.no_longer_than(network.context)
    _say_what_is_too_long(pairs, fitting, network.context)
    scored = score_pairs(network, fitting if len(fitting) else pairs.cut_to(network.context), device)
    direction = f"from {languages[0]} to {languages[1]}"
    loss = scored["nats"] / len(scored["actual"])
    scores |= {
        "loss": loss,
        "perplexity": math.exp(loss),
        "accuracy": float((scored["actual"] == scored["predicted"]).mean()),
        "test_pairs": len(pairs),
        "test_tokens": len(scored["actual"]),
        "parameters": count_parameters(network),
    }
    pictures = folder / "evaluation"
    _draw_baselines(pictures, scores, direction)
    _report_lengths(pictures, pairs, written[""], references, words)
    _report_examples(pictures, sources, written[""], references, [f"Translations {direction}", *signatures(words)])
    _draw_alignments(pictures, network, tokenizer, fitting)
    return scores, scored["actual"], scored["predicted"]


def _lines(processed: Path, split: str, side: str) -> list[str]:
    return (processed / f"{split}.{side}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def _say_what_is_too_long(pairs: EncodedPairs, fitting: EncodedPairs, context: int) -> None:
    cut = sum(len(source) > context for source in pairs.sources)
    if cut:
        print(f"test: of {cut:,} of {len(pairs):,} sources only the first {context} tokens are translated", flush=True)
    if not len(fitting):
        print(
            f"test: loss and accuracy are of the first {context} tokens (train_lm.context), as no pair fits", flush=True
        )
    elif len(fitting) < len(pairs):
        left_out = len(pairs) - len(fitting)
        print(
            f"test: loss and accuracy leave out {left_out:,} of {len(pairs):,} pairs, which have more than {context} "
            "tokens (train_lm.context)",
            flush=True,
        )


def _translations(translator: Translator, pairs: EncodedPairs, search: Search, batch_size: int) -> list[str]:
    """The best translation of each source; of a longer one than the network reads, of its beginning."""
    network = translator.network
    found = translate(network, pairs.sources, search, batch_size)
    limits = [longest_translation(network, source) for source in pairs.sources]
    cut = sum(len(best.tokens) >= limit for (best, *_), limit in zip(found, limits, strict=True))
    if cut:
        how = "greedily" if search.beam == 1 else f"with a beam of {search.beam}"
        print(f"test: {cut:,} of {len(pairs):,} translations {how} are cut, for want of an end", flush=True)
    return [translator.decoded(hypotheses[0].tokens) for hypotheses in found]


def _draw_baselines(folder: Path, scores: dict[str, float], direction: str) -> None:
    named = {
        "copying the source": scores["baseline_copy_bleu"],
        "nearest training pair": scores["baseline_nearest_bleu"],
        "this model, greedy": scores["greedy_bleu"],
        "this model": scores["bleu"],
    }
    figure = bars(list(named), list(named.values()), f"Translations {direction}", "BLEU", "this model")
    save_figure(figure, folder / "baselines.png")


def _report_lengths(
    folder: Path, pairs: EncodedPairs, translations: list[str], references: list[str], words: str
) -> None:
    """Scores of groups of about as many sentences, by the number of the source's tokens."""
    lengths = np.array([len(source) for source in pairs.sources])
    lasts = np.unique(np.quantile(lengths, np.linspace(0, 1, GROUPS + 1)[1:]).round().astype(int))
    rows = []
    for first, last in zip([lengths.min(), *(lasts[:-1] + 1)], lasts, strict=True):
        inside = np.flatnonzero((lengths >= first) & (lengths <= last)).tolist()
        if inside:
            found = translation_scores([translations[n] for n in inside], [references[n] for n in inside], words)
            rows.append({"from": int(first), "to": int(last), "sentences": len(inside), **found})
    table = pd.DataFrame(rows)
    write_table(folder / "scores_by_length.csv", table.round(4))
    middles = [(row["from"] + row["to"]) / 2 for row in rows]
    lines = {"BLEU": (middles, table.bleu.tolist()), "chrF": (middles, table.chrf.tolist())}
    figure = line_figure(lines, title="Scores by length of the source", x="tokens of the source", y="score")
    save_figure(figure, folder / "scores_by_length.png")


def _report_examples(
    folder: Path, sources: list[str], translations: list[str], references: list[str], headings: list[str]
) -> None:
    """A table of all translations, one of the best and the worst, and these as a text below its `headings`."""
    quality = sentence_scores(translations, references)
    table = pd.DataFrame(
        {"chrf": np.round(quality, 2), "source": sources, "translation": translations, "reference": references}
    )
    write_table(folder / "translations.csv", table)
    ordered = table.sort_values("chrf", ascending=False, kind="stable")
    # Of those that are perfect, the longest say the most.
    best = ordered.assign(length=-ordered.source.str.len()).sort_values(["chrf", "length"], ascending=[False, True])
    shown = pd.concat([best[:SHOWN].drop(columns="length"), ordered[-SHOWN:][::-1]]).drop_duplicates()
    write_table(folder / "best_and_worst.csv", shown)
    lines = [*headings, "chrF of each translation by itself; best first, then the worst", ""]
    for row in shown.itertuples():
        lines += [f"{row.chrf:5.1f}  {row.source}", f"       {row.translation}", f"     = {row.reference}", ""]
    write_text(folder / "samples.txt", "\n".join(lines))


def _draw_alignments(folder: Path, network: EncoderDecoder, tokenizer: Tokenizer, pairs: EncodedPairs) -> None:
    """Draw the cross-attention of the first few sentences, the mean over the heads of each layer, while writing."""
    names, device, sheets = token_texts(tokenizer), network.embedding.weight.device, []
    short = [pair for pair in zip(pairs.sources, pairs.targets, strict=True) if max(map(len, pair)) <= MOST_TOKENS]
    opened = torch.tensor([network.sentinel_tokens.start])
    for source, _ in short[:ALIGNED]:
        target = torch.tensor(translate(network, [source], Search(beam=1))[0][0].tokens, dtype=torch.long)
        read, writing = torch.cat([source, opened]), torch.cat([opened, target])
        with torch.no_grad():
            maps = network.cross_attention_maps(read[None].to(device), writing[None].to(device))
        weights = torch.stack(maps)[:, 0].mean(dim=1).cpu().numpy()  # (layers, written, read)
        across = [*(names[token] for token in source.tolist()), "(end)"]
        down = [*(names[token] for token in target.tolist()), "(end)"]
        sheets.append((weights, across, down))
    if sheets:
        save_figure(alignment_sheet(sheets), folder / "alignment.png")
