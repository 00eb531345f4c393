"""Train an encoder-decoder to translate: batches of pairs, a smoothed cross-entropy, validation."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.artifacts.errors import BadInput
from quartet.artifacts.rebuilding import build_network
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.scoring import frequency_nats
from quartet.language.settings import TrainLm
from quartet.language.translation.pairs import PADDING, EncodedPairs, TokenBatches, encoded_pairs, training_batch
from quartet.language.translation.scoring import predicting, score_pairs
from quartet.training.parallel.share import own_rows
from quartet.training.task import Batch, Chance, Task


def target_tokens(batch: Batch) -> Tensor:
    """How many tokens the targets of a batch have, without padding."""
    return (batch[-1] != PADDING).sum().float()


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

    def task(self) -> Task:
        """The task for the training loop."""
        return Task(
            network=self.network,
            examples_at=self.examples_at,
            batch_of=lambda examples, generator: own_rows(examples),
            loss_of=self.loss_of,
            validate=self.validate,
            steps=self.settings.steps,
            validate_every=self.settings.validate_every,
            chance=self.chance,
            weight_of=target_tokens,
        )

    def examples_at(self, number: int) -> Batch:
        """The pairs of a batch, as `training_batch` returns them."""
        batch = training_batch(self.pairs, self.batches.indices(number), self.network.sentinel_tokens.start)
        return tuple(part.to(self.device) for part in batch)

    def loss_of(self, network: EncoderDecoder, batch: Batch) -> Tensor:
        """The mean smoothed cross-entropy per target token."""
        logits, targets = predicting(network, batch)
        return F.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)

    def validate(self, network: EncoderDecoder) -> dict[str, float]:
        """On the held-out pairs: loss (nats per token), accuracy of the next token, and `score`, minus the loss."""
        scored = score_pairs(network, self.held_out, self.device)
        loss = scored["nats"] / len(scored["actual"])
        return {"loss": loss, "accuracy": float((scored["actual"] == scored["predicted"]).mean()), "score": -loss}

    def chance(self) -> Chance:
        """The score of predicting each token of the targets, and their ends, by its frequency alone."""
        end = torch.tensor([self.network.sentinel_tokens.start + 1])
        train, held_out = (
            torch.cat([part for target in pairs.targets for part in (target, end)]).numpy()
            for pairs in (self.pairs, self.held_out)
        )
        return Chance("the frequency of each token", -frequency_nats(train, held_out, int(end) + 1))

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
