"""Train an encoder-decoder to translate: batches of pairs, a smoothed cross-entropy, validation."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.artifacts.errors import BadInput
from quartet.artifacts.rebuilding import build_network
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.settings import TrainLm
from quartet.language.translation.pairs import PADDING, EncodedPairs, TokenBatches, encoded_pairs, training_batch
from quartet.training.loop import Batch, Task

VALIDATION_TOKENS = 4096  # in a batch


class TranslationTraining:
    """A network and the functions that the training loop calls.

    Args:
        settings: of the training.
        folder: of the processed pairs.
        description: the arguments that build the network.
        device: where to train.
        seed: of the order of the pairs.

    Raises:
        BadInput: the architecture reads no source, or the context is shorter than all pairs.
    """

    def __init__(
        self, settings: TrainLm, folder: Path, description: Mapping[str, object], device: torch.device, *, seed: int
    ):
        if settings.architecture != "encoder-decoder":
            raise BadInput(
                f"train_lm.architecture: found {settings.architecture!r}, allowed for pairs (download.text) is "
                "'encoder-decoder'"
            )
        self.settings, self.device = settings, device
        self.pairs = self._within_context(folder, "train")
        self.held_out = self._within_context(folder, "validation")
        self.batches = TokenBatches(self.pairs, settings.batch_size * settings.context, seed)
        self.network = build_network({"encoder-decoder": EncoderDecoder}, description).to(device)
        self.first_sentinel = self.network.sentinel_tokens.start

    def task(self) -> Task:
        """The task for the training loop."""
        return Task(
            network=self.network,
            examples_at=self.examples_at,
            batch_of=lambda examples, generator: examples,
            loss_of=self.loss_of,
            validate=self.validate,
            steps=self.settings.steps,
            validate_every=self.settings.validate_every,
        )

    def examples_at(self, number: int) -> Batch:
        """The pairs of a batch, as `training_batch` returns them."""
        return self._batch(self.pairs, self.batches.indices(number))

    def loss_of(self, network: EncoderDecoder, batch: Batch) -> Tensor:
        """The mean smoothed cross-entropy per target token."""
        hidden, targets = _predicting(network, batch)
        logits = F.linear(hidden, network.embedding.weight).float()
        return F.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)

    @torch.no_grad()
    def validate(self, network: EncoderDecoder) -> dict[str, float]:
        """Loss (nats per token), accuracy of the next token, and `score`, on the held-out pairs and with their targets.

        `score` is minus the loss, so that higher is better.
        """
        nats, right, tokens = 0.0, 0, 0
        batches = TokenBatches(self.held_out, VALIDATION_TOKENS, 0)
        for number in range(batches.steps_per_epoch):
            hidden, targets = _predicting(network, self._batch(self.held_out, batches.indices(number)))
            logits = F.linear(hidden, network.embedding.weight).float()
            nats += F.cross_entropy(logits, targets, reduction="sum").item()
            right += int((logits.argmax(dim=1) == targets).sum())
            tokens += len(targets)
        return {"loss": nats / tokens, "accuracy": right / tokens, "score": -nats / tokens}

    def _within_context(self, folder: Path, split: str) -> EncodedPairs:
        """The pairs of a split that fit into the context; says how many do not."""
        pairs, context = encoded_pairs(folder, split), self.settings.context
        kept = pairs.no_longer_than(context)
        if not len(kept):
            raise BadInput(f"train_lm.context: found {context}, but every pair of {split} is longer; raise it")
        if len(kept) < len(pairs):
            left_out = len(pairs) - len(kept)
            print(f"{split}: {left_out:,} of {len(pairs):,} pairs have more than {context} tokens and are not used")
        return kept

    def _batch(self, pairs: EncodedPairs, chosen: list[int]) -> Batch:
        return tuple(part.to(self.device) for part in training_batch(pairs, chosen, self.first_sentinel))


def _predicting(network: EncoderDecoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """The inputs of the output layer, `(tokens, width)`, where there is a target to predict, and these targets."""
    read, mask, written, wanted = batch
    hidden, _ = network.decode_hidden(written, network.encode(read, mask))
    predicted = wanted != PADDING
    return hidden[predicted], wanted[predicted]
