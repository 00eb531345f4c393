"""How the language model is scored: every byte of the test text, beside compression and counting."""

import math

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.writing import write_text
from quartet.datasets.text import token_stream
from quartet.datasets.text_windows import scored_windows
from quartet.datasets.tokenizers import load_tokenizer
from quartet.evaluation.text_baselines import compression_bits_per_byte, ngram_bits_per_byte
from quartet.networks.building import count_parameters, rebuild_network
from quartet.networks.generation import generate
from quartet.params import Params
from quartet.reporting.figures import bars, save_figure
from quartet.reporting.report_files import write_confusion

TEMPERATURES = (0.5, 0.8, 1.0)
SAMPLE_TOKENS = 120
OTHER = "(other)"
VALIDATION_BATCH = 64


def evaluate(params: Params, device: torch.device) -> dict[str, float]:
    """Score the language model; writes pictures, tables and samples into `reports/lm`."""
    folder, processed = paths.report("lm"), paths.processed("text")
    card = read_card(paths.model("lm"))
    network = rebuild_network(card, load_weights(paths.model("lm"))).to(device)
    tokenizer = load_tokenizer(processed / "tokenizer.json")
    stream = token_stream(processed, "test")
    test_bytes = (processed / "test.txt").read_bytes()

    scored = score_stream(network, stream, tokenizer, params.evaluate.batch_size, device, sliding=False)
    sliding = score_stream(network, stream, tokenizer, params.evaluate.batch_size, device, sliding=True)
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
    train_bytes = (processed / "train.txt").read_bytes()
    scores |= compression_bits_per_byte(train_bytes, test_bytes)
    scores["baseline_ngram_bits_per_byte"] = ngram_bits_per_byte(train_bytes, test_bytes)

    _confusion(params, tokenizer, stream, scored["predicted"])
    _baselines_figure(scores)
    write_text(folder / "evaluation/samples.txt", samples(network, tokenizer, device))
    return scores


@torch.no_grad()
def score_stream(
    network: nn.Module,
    stream: np.ndarray,
    tokenizer: Tokenizer,
    batch_size: int,
    device: torch.device,
    *,
    sliding: bool,
) -> dict:
    """Total `nats`, counts of `right` and `right_in_5`, and the `predicted` tokens, `(tokens,)` in order.

    The first token is predicted after a line break. Windows do not overlap; with `sliding` they move by half.
    """
    context = network.context
    stride = max(1, context // 2) if sliding else context
    batch_size = max(1, batch_size * 32 // context)  # a batch of windows costs as much as its tokens
    first = tokenizer.encode("\n").ids[0]
    nats, right, right_in_5, predicted = 0.0, 0, 0, []
    for tokens, successors, mask in scored_windows(stream, first, context, stride, batch_size, device):
        logits, targets = network(tokens)[mask].float(), successors[mask]  # (scored, vocabulary), (scored,)
        nats += F.cross_entropy(logits, targets, reduction="sum").item()
        likeliest = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (scored, 5)
        right += (likeliest[:, 0] == targets).sum().item()
        right_in_5 += (likeliest == targets[:, None]).any(dim=1).sum().item()
        predicted.append(likeliest[:, 0].cpu().numpy())
    return {"nats": nats, "right": right, "right_in_5": right_in_5, "predicted": np.concatenate(predicted)}


def validation_scores(
    network: nn.Module, stream: np.ndarray, tokenizer: Tokenizer, byte_count: int, device: torch.device
) -> dict[str, float]:
    """`loss` (nats per token), `bits_per_byte`, and `score`: the bits per byte below zero, so that higher is better."""
    nats = score_stream(network, stream, tokenizer, VALIDATION_BATCH, device, sliding=False)["nats"]
    bits_per_byte = nats / math.log(2) / byte_count
    return {"loss": nats / len(stream), "bits_per_byte": bits_per_byte, "score": -bits_per_byte}


def samples(network: nn.Module, tokenizer: Tokenizer, device: torch.device) -> str:
    """Continuations of an empty line at several temperatures, as text."""
    start = torch.tensor([tokenizer.encode("\n").ids], device=device)
    parts = []
    for temperature in TEMPERATURES:
        generator = torch.Generator(device).manual_seed(0)
        tokens = generate(network, start, SAMPLE_TOKENS, temperature=temperature, generator=generator)
        parts.append(f"temperature {temperature}\n{tokenizer.decode(tokens[0].tolist()).strip()}\n")
    return "\n".join(parts)


def _confusion(params: Params, tokenizer: Tokenizer, stream: np.ndarray, predicted: np.ndarray) -> None:
    """Confusion among the most frequent test tokens, all others together as one more class."""
    most = params.evaluate.lm.confusion_tokens
    tokens, counts = np.unique(stream, return_counts=True)
    frequent = tokens[np.argsort(-counts, kind="stable")][:most]
    place = np.full(tokenizer.get_vocab_size(), len(frequent))
    place[frequent] = np.arange(len(frequent))
    names = [_name(tokenizer, token) for token in frequent.tolist()] + [OTHER]
    title = f"Next token, the {len(frequent)} most frequent and all others"
    write_confusion(paths.report("lm"), place[np.asarray(stream)], place[predicted], names, title)


def _name(tokenizer: Tokenizer, token: int) -> str:
    """A token as text; bytes that are no whole character by their vocabulary entry."""
    text = tokenizer.decode([token])
    return tokenizer.id_to_token(token) if "\ufffd" in text else text


def _baselines_figure(scores: dict[str, float]) -> None:
    named = {
        "bz2": scores["baseline_bz2_bits_per_byte"],
        "xz": scores["baseline_xz_bits_per_byte"],
        "5-gram": scores["baseline_ngram_bits_per_byte"],
        "this model": scores["bits_per_byte"],
        "this model, sliding window": scores["sliding_bits_per_byte"],
    }
    figure = bars(list(named), list(named.values()), "The test text costs", "bits per byte", "this model")
    save_figure(figure, paths.report("lm") / "evaluation/baselines.png")
