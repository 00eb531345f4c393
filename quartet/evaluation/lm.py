"""How the language model is scored: every byte of the test text, beside compression and counting."""

import math
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card_for
from quartet.artifacts.writing import write_table, write_text
from quartet.datasets.text import token_stream
from quartet.datasets.text_windows import scored_windows
from quartet.datasets.tokenizers import decoded_tokens, load_tokenizer, token_texts
from quartet.evaluation.text_baselines import compression_bits_per_byte, ngram_bits_per_byte
from quartet.evaluation.text_insights import attention_maps, cost_by_kind, cost_by_place, neighbours
from quartet.networks.building import count_parameters, rebuild_network
from quartet.networks.encoder_decoder import EncoderDecoder
from quartet.networks.generation import fill_blanks, generate, next_words
from quartet.params import Params
from quartet.reporting.figures import bars, heads_sheet, save_figure, text_heat
from quartet.reporting.report_files import write_confusion

TEMPERATURES = (0.5, 0.8, 1.0)
SAMPLE_TOKENS = 120
PROMPT = "It is one of the"
BLANKS = ("This is the", " of all that", " in the end.")
PASSAGE_TOKENS, ATTENTION_TOKENS = 300, 24  # of the test text, in the pictures
OTHER = "(other)"
VALIDATION_BATCH = 64
BASELINE_BYTES = 2**24  # of the end of the training text, for the baselines: counting takes twenty times the memory


def evaluate(params: Params, device: torch.device) -> dict[str, float]:
    """Score the language model; writes pictures, tables and samples into `reports/lm`."""
    folder, processed = paths.report("lm"), paths.processed("text")
    card = read_card_for(paths.model("lm"), processed)
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
    train_bytes = _end_of(processed / "train.txt", BASELINE_BYTES)
    scores |= compression_bits_per_byte(train_bytes, test_bytes)
    scores["baseline_ngram_bits_per_byte"] = ngram_bits_per_byte(train_bytes, test_bytes)

    _confusion(params, tokenizer, stream, scored["predicted"])
    _baselines_figure(scores)
    _insights(network, tokenizer, stream, scored["token_nats"], len(test_bytes), device)
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
    """Total `nats`, counts of `right` and `right_in_5`; in order, the `predicted` tokens and `token_nats`, `(tokens,)`.

    The first token is predicted after a line break. Windows do not overlap; with `sliding` they move by half.
    """
    context = network.context
    stride = max(1, context // 2) if sliding else context
    batch_size = max(1, batch_size * 32 // context)  # a batch of windows costs as much as its tokens
    first = tokenizer.encode("\n").ids[0]
    right, right_in_5, predicted, costs = 0, 0, [], []
    for tokens, successors, mask in scored_windows(stream, first, context, stride, batch_size, device):
        logits, targets = network(tokens)[mask].float(), successors[mask]  # (scored, vocabulary), (scored,)
        costs.append(F.cross_entropy(logits, targets, reduction="none").cpu().numpy())
        likeliest = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (scored, 5)
        right += (likeliest[:, 0] == targets).sum().item()
        right_in_5 += (likeliest == targets[:, None]).any(dim=1).sum().item()
        predicted.append(likeliest[:, 0].cpu().numpy())
    token_nats = np.concatenate(costs)
    return {
        "nats": float(token_nats.sum(dtype=np.float64)),
        "right": right,
        "right_in_5": right_in_5,
        "predicted": np.concatenate(predicted),
        "token_nats": token_nats,
    }


def validation_scores(
    network: nn.Module, stream: np.ndarray, tokenizer: Tokenizer, byte_count: int, device: torch.device
) -> dict[str, float]:
    """`loss` (nats per token), `bits_per_byte`, and `score`: the bits per byte below zero, so that higher is better."""
    nats = score_stream(network, stream, tokenizer, VALIDATION_BATCH, device, sliding=False)["nats"]
    bits_per_byte = nats / math.log(2) / byte_count
    return {"loss": nats / len(stream), "bits_per_byte": bits_per_byte, "score": -bits_per_byte}


def samples(network: nn.Module, tokenizer: Tokenizer, device: torch.device) -> str:
    """Continuations of an empty line at several temperatures, next words, and filled blanks, as text."""
    start = torch.tensor([tokenizer.encode("\n").ids], device=device)
    parts = []
    for temperature in TEMPERATURES:
        generator = torch.Generator(device).manual_seed(0)
        tokens = generate(network, start, SAMPLE_TOKENS, temperature=temperature, generator=generator)
        parts.append(f"temperature {temperature}\n{tokenizer.decode(tokens[0].tolist()).strip()}\n")
    prompt = torch.tensor([tokenizer.encode(PROMPT).ids], device=device)
    words = next_words(network, prompt, tokenizer.decode, tokenizer.get_vocab_size(), 8)
    parts.append(f"{PROMPT} …\n" + "\n".join(f"{probability:6.1%}  {word}" for word, probability in words) + "\n")
    if isinstance(network, EncoderDecoder):
        pieces = [tokenizer.encode(piece).ids for piece in BLANKS]
        filled = fill_blanks(network, pieces, temperature=0)
        spans = [f"[{tokenizer.decode(span)}]" for span in filled] + [""]
        parts.append("blanks, filled\n" + "".join(map("".join, zip(BLANKS, spans, strict=True))) + "\n")
    return "\n".join(parts)


def _end_of(path: Path, byte_count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - byte_count))
        return file.read()


def _insights(
    network: nn.Module,
    tokenizer: Tokenizer,
    stream: np.ndarray,
    nats: np.ndarray,
    byte_count: int,
    device: torch.device,
) -> None:
    """Pictures and tables of what is easy and hard, of attention and of neighbouring words."""
    folder, texts = paths.report("lm") / "evaluation", token_texts(tokenizer)
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


def _confusion(params: Params, tokenizer: Tokenizer, stream: np.ndarray, predicted: np.ndarray) -> None:
    """Confusion among the most frequent test tokens, all others together as one more class."""
    most = params.evaluate.lm.confusion_tokens
    tokens, counts = np.unique(stream, return_counts=True)
    frequent = tokens[np.argsort(-counts, kind="stable")][:most]
    place = np.full(tokenizer.get_vocab_size(), len(frequent))
    place[frequent] = np.arange(len(frequent))
    texts = token_texts(tokenizer)
    names = [texts[token] for token in frequent.tolist()] + [OTHER]
    title = f"Next token, the {len(frequent)} most frequent and all others"
    write_confusion(paths.report("lm"), place[np.asarray(stream)], place[predicted], names, title)


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
