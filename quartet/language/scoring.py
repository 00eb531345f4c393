"""Score how well a language model predicts a text; every token is predicted exactly once."""

import io
import math

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from quartet.language.networks.interface import LanguageModel
from quartet.language.windows import scored_windows
from quartet.training.parallel.spreading import spread

VALIDATION_BATCH = 64
VALIDATION_TOKENS = 2**18  # of a longer split, a sample is scored during training
FREQUENCY_TOKENS = 2**22  # whose frequencies are counted, from the end of the training text


@torch.no_grad()
def score_stream(
    network: LanguageModel,
    stream: np.ndarray,
    tokenizer: Tokenizer,
    batch_size: int,
    device: torch.device,
    *,
    sliding: bool,
) -> dict:
    """Score every token of a stream; the first one is predicted after a line break.

    Windows do not overlap or, with `sliding`, overlap by half.

    Returns:
        `nats` (the total), `right` and `right_in_5` (counts), `predicted` and `token_nats` (both `(tokens,)`).
    """
    context = network.context
    stride = max(1, context // 2) if sliding else context
    batch_size = max(1, batch_size * 32 // context)  # memory depends on the tokens in a batch
    first = tokenizer.encode("\n").ids[0]

    def scored(windows: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
        tokens, successors, mask = windows
        logits, targets = network(tokens)[mask].float(), successors[mask]  # (scored, vocabulary), (scored,)
        costs = F.cross_entropy(logits, targets, reduction="none")
        likeliest = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (scored, 5)
        right, right_in_5 = likeliest[:, 0] == targets, (likeliest == targets[:, None]).any(dim=1)
        return costs.cpu(), right.sum().cpu(), right_in_5.sum().cpu(), likeliest[:, 0].cpu()

    windows = scored_windows(stream, first, context, stride, batch_size, device)
    costs, right, right_in_5, predicted = zip(*spread(scored, windows, torch.device("cpu")), strict=True)
    token_nats = torch.cat(costs).numpy()
    return {
        "nats": float(token_nats.sum(dtype=np.float64)),
        "right": int(torch.stack(right).sum()),
        "right_in_5": int(torch.stack(right_in_5).sum()),
        "predicted": torch.cat(predicted).numpy(),
        "token_nats": token_nats,
    }


def word_perplexity(nats: float, text: str) -> float | None:
    """Perplexity per word, as published for WikiText: words stand between white space, and each line's end is one.

    None where words are so long that it is no number, as in text without spaces.
    """
    words = sum(len(line.split()) for line in io.StringIO(text)) + text.count("\n")
    return math.exp(nats / words) if words and nats / words < 100 else None


def frequency_nats(train: np.ndarray, held_out: np.ndarray, vocabulary: int) -> float:
    """Nats per token of a held-out stream if each token has its frequency in `train` (plus one), whatever is before."""
    counts = np.bincount(train[-FREQUENCY_TOKENS:], minlength=vocabulary) + 1
    return float(np.log(counts.sum()) - np.log(counts)[held_out].mean())


def validation_sample(
    stream: np.ndarray, byte_count: int, tokenizer: Tokenizer, context: int
) -> tuple[np.ndarray, int]:
    """The tokens to score during training, and their bytes: a whole stream, or evenly spaced windows of a long one."""
    if len(stream) <= VALIDATION_TOKENS:
        return stream, byte_count
    chosen = np.linspace(0, len(stream) // context - 1, max(1, VALIDATION_TOKENS // context)).astype(int)
    sample = np.concatenate([stream[number * context : (number + 1) * context] for number in chosen.tolist()])
    # A byte-level token is written with a letter for each byte.
    sizes = np.array([len(tokenizer.id_to_token(token) or "") for token in range(tokenizer.get_vocab_size())])
    print(
        f"validation: scores during training are of {len(sample):,} of {len(stream):,} tokens, in even windows",
        flush=True,
    )
    return sample, int(sizes[sample].sum())


def validation_scores(
    network: LanguageModel, stream: np.ndarray, tokenizer: Tokenizer, byte_count: int, device: torch.device
) -> dict[str, float]:
    """`loss` (nats per token), `bits_per_byte`, and `score` (minus the bits per byte, so that higher is better)."""
    nats = score_stream(network, stream, tokenizer, VALIDATION_BATCH, device, sliding=False)["nats"]
    bits_per_byte = nats / math.log(2) / byte_count
    return {"loss": nats / len(stream), "bits_per_byte": bits_per_byte, "score": -bits_per_byte}
