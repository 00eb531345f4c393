"""Score the language model on every byte of the test text, and compressors and an n-gram model for comparison.

A model that translates is scored on the test pairs (`translation/evaluation.py`).
"""

import math
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card_for
from quartet.artifacts.rebuilding import count_parameters, rebuild_network
from quartet.artifacts.writing import read_json, write_text
from quartet.classification.confusion_files import write_confusion
from quartet.classification.split_files import write_splits
from quartet.datasets.tokenizers import load_tokenizer, token_texts
from quartet.language import TRANSLATION
from quartet.language.baselines import compression_bits_per_byte, ngram_bits_per_byte
from quartet.language.networks import NETWORKS
from quartet.language.networks.encoder_decoder import SENTINELS, EncoderDecoder
from quartet.language.pictures import draw_baselines, draw_insights
from quartet.language.samples import samples
from quartet.language.scoring import score_stream, word_perplexity
from quartet.language.settings import EvaluateLm
from quartet.language.translation.evaluation import evaluate_translation
from quartet.language.windows import token_stream

OTHER, START, END = "(other)", "(start)", "(end)"
# The baselines use the end of the training text, as n-gram counts take 20 times its memory, and as much of the test.
BASELINE_BYTES = 2**24
CONFUSION_ROWS = 2**22  # tokens in `confusion.csv`, at most


def evaluate(how: EvaluateLm, *, folder: Path, batch_size: int, seed: int, device: torch.device) -> dict[str, float]:
    """Score the language model; writes pictures, tables and samples into `folder`."""
    processed = paths.processed("text")
    card = read_card_for(paths.model("lm"), processed)
    network = rebuild_network(NETWORKS, card, load_weights(paths.model("lm"))).to(device)
    tokenizer = load_tokenizer(processed / "tokenizer.json")
    info = read_json(processed / "info.json")
    write_splits(folder, info)
    if isinstance(network, EncoderDecoder) and info.get("task") == TRANSLATION:
        scores, actual, predicted = evaluate_translation(
            network, tokenizer, processed, folder, how, device, languages=info["languages"], batch_size=batch_size
        )
        _report_confusion(folder, tokenizer, actual, predicted, how.confusion_tokens)
        return scores
    stream = token_stream(processed, "test")
    test_bytes = (processed / "test.txt").read_bytes()

    scored = score_stream(network, stream, tokenizer, batch_size, device, sliding=False)
    sliding = score_stream(network, stream, tokenizer, batch_size, device, sliding=True)
    bits_per_nat_and_byte = 1 / math.log(2) / len(test_bytes)
    scores = {
        "bits_per_byte": scored["nats"] * bits_per_nat_and_byte,
        "sliding_bits_per_byte": sliding["nats"] * bits_per_nat_and_byte,
        "loss": scored["nats"] / len(stream),
        "perplexity": math.exp(scored["nats"] / len(stream)),
        "accuracy": scored["right"] / len(stream),
        "top5_accuracy": scored["right_in_5"] / len(stream),
        "test_tokens": len(stream),
        "parameters": count_parameters(network),
    }
    if (per_word := word_perplexity(scored["nats"], test_bytes.decode())) is not None:
        scores["word_perplexity"] = per_word
    train_bytes = _end_of(processed / "train.txt", BASELINE_BYTES)
    scores |= {name: score for name, score in card["training"].items() if name.endswith("first_text_bits_per_byte")}
    compared = test_bytes[:BASELINE_BYTES]
    if len(compared) < len(test_bytes):
        print(f"test: the baselines are of its first {len(compared):,} of {len(test_bytes):,} bytes", flush=True)
    scores |= compression_bits_per_byte(train_bytes, compared)
    scores["baseline_ngram_bits_per_byte"] = ngram_bits_per_byte(train_bytes, compared)

    every = -(-len(stream) // CONFUSION_ROWS)
    if every > 1:
        print(f"test: the confusion matrix is of every {every}th token", flush=True)
    _report_confusion(folder, tokenizer, stream[::every], scored["predicted"][::every], how.confusion_tokens)
    pictures = folder / "evaluation"
    draw_baselines(pictures, scores)
    draw_insights(pictures, network, tokenizer, stream, scored["token_nats"], len(test_bytes), device)
    write_text(pictures / "samples.txt", samples(network, tokenizer, device))
    return scores


def _end_of(path: Path, byte_count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - byte_count))
        return file.read()


def _report_confusion(folder: Path, tokenizer: Tokenizer, stream: np.ndarray, predicted: np.ndarray, most: int) -> None:
    """Write the confusion files of the most frequent test tokens; all others form one more class."""
    tokens, counts = np.unique(stream, return_counts=True)
    frequent = tokens[np.argsort(-counts, kind="stable")][:most]
    # The sentinel tokens, which end translations, are beyond the vocabulary.
    place = np.full(tokenizer.get_vocab_size() + SENTINELS, len(frequent))
    place[frequent] = np.arange(len(frequent))
    texts = [*token_texts(tokenizer), START, END]
    names = [texts[token] for token in frequent.tolist()] + [OTHER]
    title = f"Next token, the {len(frequent)} most frequent and all others"
    write_confusion(folder, place[np.asarray(stream)], place[predicted], names, title)
