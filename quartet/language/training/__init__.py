"""Train a language model: windows of text, next-token or span-filling loss, validation; or on pairs, to translate."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.artifacts.rebuilding import build_network
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.tokenizers import load_tokenizer
from quartet.language import TRANSLATION
from quartet.language.networks import NETWORKS
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.networks.interface import LanguageModel
from quartet.language.scoring import frequency_nats, validation_sample, validation_scores
from quartet.language.settings import TrainLm
from quartet.language.training.continuation import Continuation
from quartet.language.training.shards import shards_of
from quartet.language.training.span_corruption import corrupt_spans
from quartet.language.translation.training import TranslationTraining
from quartet.language.windows import TrainingWindows, token_stream
from quartet.params.fields import changed, say_idle
from quartet.training.compiling import compiled
from quartet.training.parallel.share import own_rows, processes
from quartet.training.run import Plan
from quartet.training.task import Batch, Chance, Task

# Settings that an architecture does not use; and those that only windows of text use, and only pairs.
OF_HOLES, OF_DECODER = ("corruption", "span", "continuation"), ("ngrams", "convolution")
OF_NO_RECURRENCE = ("heads", "position", *OF_DECODER, *OF_HOLES)
IDLE = {"decoder": OF_HOLES, "encoder-decoder": OF_DECODER, "lstm": OF_NO_RECURRENCE, "gru": OF_NO_RECURRENCE}
OF_TEXT, OF_PAIRS = OF_HOLES, ("label_smoothing",)


def plan(settings: TrainLm, *, seed: int, folder: Path, info: Mapping, device: torch.device) -> Plan:
    """The plan of a training on the processed text or pairs in `folder`; `info` is its `info.json`."""
    description = describe_network(settings, info)
    translates = info.get("task") == TRANSLATION
    going_on = Continuation(settings, folder, info, device) if settings.start_from else None
    say_idle("train_lm", changed(settings, IDLE[settings.architecture]), f"architecture {settings.architecture}")
    say_idle("train_lm", changed(settings, OF_TEXT if translates else OF_PAIRS), "pairs" if translates else "text")
    say_idle("train_lm", changed(settings, ["shard"]) if processes() == 1 else [], "one process")
    if translates:
        task = TranslationTraining(settings, folder, description, device, seed=seed).task()
        card_keys: tuple[str, ...] = ("tokenizer", "vocabulary_size", "task", "languages")
    else:
        task = LanguageTraining(settings, folder, info, device, seed=seed).task()
        card_keys = ("tokenizer", "vocabulary_size")
    if settings.shard:
        task = dataclasses.replace(task, shards=shards_of(task.network))
    return Plan(
        task=task,
        description=description,
        card_keys=card_keys,
        model_files={"tokenizer": folder / "tokenizer.json"},
        measure=going_on.scores if going_on else lambda network: {},
    )


def describe_network(settings: TrainLm, info: Mapping) -> dict[str, object]:
    """The arguments that build the network in the settings for the text that `info` describes."""
    description = {
        "vocabulary_size": info["vocabulary_size"],
        "context": settings.context,
        "width": settings.width,
        "layers": settings.layers,
        "dropout": settings.dropout,
    }
    if settings.architecture in ("lstm", "gru"):
        return {**description, "name": "recurrent-language-model", "cell": settings.architecture}
    description |= {"name": settings.architecture, "heads": settings.heads, "position": settings.position}
    if settings.architecture == "decoder":
        description |= {"ngrams": settings.ngrams, "convolution": settings.convolution}
    return description


class LanguageTraining:
    """A network and the functions that the training loop calls.

    Args:
        settings: of the training.
        folder: of the processed text.
        info: its `info.json`.
        device: where to train.
        seed: of the order of the windows.
    """

    def __init__(self, settings: TrainLm, folder: Path, info: Mapping, device: torch.device, *, seed: int):
        self.settings, self.device = settings, device
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.windows = TrainingWindows(token_stream(folder, "train"), settings.context, seed, device)
        self.batches = ShuffledBatches(self.windows.count, settings.batch_size, seed, torch.device("cpu"))
        self.held_out, self.held_out_bytes = validation_sample(
            token_stream(folder, "validation"), info["counts"]["validation"]["bytes"], self.tokenizer, settings.context
        )
        self.vocabulary_size = info["vocabulary_size"]
        self.network = build_network(NETWORKS, describe_network(settings, info)).to(device)

    def task(self) -> Task:
        """The task for the training loop."""
        return Task(
            network=self.network,
            examples_at=self.examples_at,
            batch_of=self.batch_of,
            loss_of=compiled(self.loss_of) if self.settings.compile else self.loss_of,
            validate=self.validate,
            steps=self.settings.steps,
            validate_every=self.settings.validate_every,
            replayable=self.settings.architecture == "decoder",
            chance=self.chance,
        )

    def examples_at(self, number: int) -> Batch:
        """The tokens of a batch's windows and their successors, both `(batch, context)`."""
        return self.windows.batch(self.batches.indices(number), self.batches.epoch(number))

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """The windows unchanged or, for an encoder-decoder, with holes: encoder input, decoder input, targets."""
        if not isinstance(self.network, EncoderDecoder):
            return own_rows(examples)
        tokens, _ = examples
        return own_rows(corrupt_spans(tokens, self.settings, self.network.sentinel_tokens, generator))

    def loss_of(self, network: LanguageModel, batch: Batch) -> Tensor:
        """The mean cross-entropy per token."""
        *inputs, targets = batch
        logits = network.fill(*inputs) if isinstance(network, EncoderDecoder) else network(*inputs)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def validate(self, network: LanguageModel) -> dict[str, float]:
        """Loss and bits per byte on the held-out text."""
        return validation_scores(network, self.held_out, self.tokenizer, self.held_out_bytes, self.device)

    def chance(self) -> Chance:
        """The score of predicting each token by its frequency alone."""
        nats = frequency_nats(self.windows.stream, self.held_out, self.vocabulary_size) * len(self.held_out)
        return Chance("the frequency of each token", -nats / math.log(2) / self.held_out_bytes)
