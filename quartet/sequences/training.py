"""Train a sequence classifier: batches of similar lengths, loss, validation."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.artifacts.errors import BadInput
from quartet.artifacts.rebuilding import build_network
from quartet.classification.predictions import VALIDATION_BATCH_FACTOR, validation_scores
from quartet.datasets.augmentation import augment
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.images import to_unit_range
from quartet.sequences.loading import Sequences, as_images, as_sequences, load_sequences, network_inputs
from quartet.sequences.network import NETWORKS, RecurrentClassifier
from quartet.sequences.predictions import logits_over_sequences
from quartet.sequences.settings import TrainRnn
from quartet.training.class_weights import class_weights
from quartet.training.loop import Batch, Task
from quartet.training.run import Plan

CARD_KEYS = (
    *("kind", "input", "classes", "image_shape", "order", "steps", "features", "feature_names", "vocabulary_size"),
    *("mean", "std"),
)


def plan(settings: TrainRnn, *, seed: int, folder: Path, info: Mapping, device: torch.device) -> Plan:
    """The plan of a training on the processed sequences in `folder`; `info` is their `info.json`.

    Raises:
        BadInput: the sequences have numbers to predict instead of classes.
    """
    if not info["classes"]:
        raise BadInput(
            f"{info['source']}: has a number to predict for each series, not a class; train-rnn sorts series into "
            "classes and needs labels"
        )
    train, held_out = load_sequences(folder, "train"), load_sequences(folder, "validation")
    training = SequenceTraining(settings, info, device, seed=seed, train=train, held_out=held_out)
    return Plan(
        task=training.task(),
        description=training.description,
        card_keys=tuple(key for key in CARD_KEYS if key in info),
        model_files={"tokenizer": folder / "tokenizer.json"} if info["input"] == "tokens" else {},
    )


def describe_network(settings: TrainRnn, info: Mapping) -> dict[str, object]:
    """The arguments that build the network in the settings for the sequences that `info` describes."""
    tokens = info["input"] == "tokens"
    return {
        "name": "recurrent",
        "vocabulary_size" if tokens else "features": info["vocabulary_size"] if tokens else info["features"],
        "classes": len(info["classes"]),
        "cell": settings.cell,
        "hidden_size": settings.hidden_size,
        "layers": settings.layers,
        "bidirectional": settings.bidirectional,
        "pooling": settings.pooling,
        "dropout": settings.dropout,
        "token_dropout": settings.token_dropout if tokens else 0.0,
    }


class SequenceTraining:
    """A network and the functions that the training loop calls.

    Args:
        settings: of the training.
        info: the `info.json` of the sequences.
        device: where to train.
        seed: of the order of the sequences.
        train, held_out: the splits.
    """

    def __init__(
        self,
        settings: TrainRnn,
        info: Mapping,
        device: torch.device,
        *,
        seed: int,
        train: Sequences,
        held_out: Sequences,
    ):
        self.settings, self.info = settings, info
        self.train, self.held_out = train.to(device), held_out.to(device)
        self.varying = len(self.train.lengths.unique()) > 1
        lengths = self.train.lengths if self.varying else None
        self.batches = ShuffledBatches(len(train), settings.batch_size, seed, device, lengths=lengths)
        self.class_weights = class_weights(self.train.labels, len(info["classes"]), settings.class_weights)
        self.description = describe_network(settings, info)
        self.network = build_network(NETWORKS, self.description).to(device)

    def task(self) -> Task:
        """The task for the training loop."""
        settings = self.settings
        epochs = settings.epochs and self.batches.steps_in(settings.epochs, settings.accumulate)
        return Task(
            network=self.network,
            examples_at=self.examples_at,
            batch_of=self.batch_of,
            loss_of=self.loss_of,
            validate=self.validate,
            steps=epochs or settings.steps,
            validate_every=settings.validate_every,
        )

    def examples_at(self, number: int) -> Batch:
        """The indices of a batch's sequences in the training split."""
        return (self.batches.indices(number),)

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """Network inputs (pixels are augmented), lengths if they differ, and labels."""
        (chosen,) = examples
        values, lengths = self.train.padded(chosen)
        if self.info["input"] == "pixels":
            values = self._augmented(values, generator)
        inputs, labels = network_inputs(values, self.info), self.train.labels[chosen]
        return (inputs, lengths, labels) if self.varying else (inputs, labels)

    def loss_of(self, network: RecurrentClassifier, batch: Batch) -> Tensor:
        """The cross-entropy, with the weights of the classes in the settings."""
        *inputs, labels = batch
        return F.cross_entropy(network(*inputs), labels, weight=self.class_weights)

    def validate(self, network: RecurrentClassifier) -> dict[str, float]:
        """Loss and accuracy on the held-out sequences."""
        logits = logits_over_sequences(
            network, self.held_out, self.info, VALIDATION_BATCH_FACTOR * self.settings.batch_size
        )
        return validation_scores(logits, self.held_out.labels)

    def _augmented(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Augment sequences of pixels as the images that they are."""
        images = augment(to_unit_range(as_images(pixels, self.info)), self.settings.augmentation, generator)
        return as_sequences(images * 255, self.info)
