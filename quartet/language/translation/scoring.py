"""Score how well a network predicts the tokens of given translations."""

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.translation.pairs import PADDING, EncodedPairs, TokenBatches, training_batch
from quartet.training.parallel.spreading import spread
from quartet.training.task import Batch

TOKENS = 4096  # in a batch
TARGET_STEP = 64  # the output layer computes a multiple of this many tokens


def predicting(network: EncoderDecoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits `(tokens, vocabulary)` wherever a batch of `training_batch` has a target, and these targets."""
    read, mask, written, wanted = batch
    hidden, _ = network.decode_hidden(written, network.encode(read, mask))
    predicted = wanted != PADDING
    hidden, targets = hidden[predicted], wanted[predicted]
    # Rows of zeros round the number of targets, for the reason given at `round_length`.
    filled = F.pad(hidden, (0, 0, 0, -len(hidden) % TARGET_STEP))
    return F.linear(filled, network.embedding.weight)[: len(hidden)].float(), targets


@torch.no_grad()
def score_pairs(network: EncoderDecoder, pairs: EncodedPairs, device: torch.device) -> dict:
    """Score every token of the targets, and their ends, given what is before it.

    Returns:
        `nats` (the total), `actual` and `predicted`, both `(tokens,)`: the targets, and the most probable tokens.
    """
    batches = TokenBatches(pairs, TOKENS, seed=0)

    def scored(number: int) -> tuple[Tensor, ...]:
        batch = training_batch(pairs, batches.indices(number), network.sentinel_tokens.start)
        logits, targets = predicting(network, tuple(part.to(device) for part in batch))
        nats = F.cross_entropy(logits, targets, reduction="sum")
        return nats.cpu(), targets.cpu(), logits.argmax(dim=1).cpu()

    parts = spread(scored, range(batches.steps_per_epoch), torch.device("cpu"))
    nats, actual, predicted = zip(*parts, strict=True)
    return {
        "nats": sum(part.item() for part in nats),
        "actual": torch.cat(actual).numpy(),
        "predicted": torch.cat(predicted).numpy(),
    }
