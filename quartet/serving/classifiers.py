"""The image and the sequence classifier: a picture file, a sequence or a passage in; a class and probabilities out."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from quartet.artifacts.model_store import load_weights, read_card
from quartet.datasets.batches import normalise
from quartet.datasets.image_reading import decode
from quartet.datasets.images import to_square
from quartet.datasets.sequences import network_inputs
from quartet.datasets.tokenizers import load_tokenizer
from quartet.networks.building import rebuild_network


@dataclass(frozen=True)
class Answer:
    """The likeliest class, and the probability of every class, the likeliest first."""

    name: str
    probabilities: Mapping[str, float]

    @property
    def probability(self) -> float:
        """Of the likeliest class."""
        return self.probabilities[self.name]


class ImageClassifier:
    """The model in `folder`, a convolutional network."""

    def __init__(self, folder: Path):
        self.card = read_card(folder)
        self.network = rebuild_network(self.card, load_weights(folder))

    @torch.inference_mode()
    def classify(self, pictures: Iterable[tuple[str, bytes]]) -> list[Answer]:
        """Answer for named, encoded pictures (PNG, JPEG, …) of any size and mode, prepared as the training images were.

        Raises:
            ValueError: a picture cannot be decoded; the message has its name.
        """
        data = self.card["data"]
        squares = [
            to_square(decode(io.BytesIO(content), name), data["size"], data["channels"]) for name, content in pictures
        ]
        images = torch.from_numpy(np.stack(squares)).float() / 255  # (pictures, channels, size, size)
        return answers(self.network(normalise(images, data["mean"], data["std"])), data["classes"])


class SequenceClassifier:
    """The model in `folder`, a recurrent network; the `tokenizer` file is needed where it reads text."""

    def __init__(self, folder: Path, tokenizer: Path | None = None):
        self.card = read_card(folder)
        self.network = rebuild_network(self.card, load_weights(folder))
        self.tokenizer = tokenizer and load_tokenizer(tokenizer)

    @torch.inference_mode()
    def classify(self, sequences: np.ndarray | Sequence[str]) -> list[Answer]:
        """Answer for `(batch, steps, features)` pixels of 0 to 255 or numbers, or for passages of text."""
        data = self.card["data"]
        if self.tokenizer is None:
            logits = self.network(network_inputs(torch.from_numpy(np.ascontiguousarray(sequences)), data))
        else:
            tokens = [torch.tensor(self.tokenizer.encode(text or " ").ids) for text in sequences]
            padded = pad_sequence(tokens, batch_first=True)[..., None]  # (batch, longest, 1)
            logits = self.network(network_inputs(padded, data), torch.tensor([len(ids) for ids in tokens]))
        return answers(logits, data["classes"])


def answers(logits: Tensor, classes: Sequence[str]) -> list[Answer]:
    """`(batch, classes)` logits in words."""
    found = []
    for row in logits.cpu().double().softmax(dim=1):
        order = row.argsort(descending=True).tolist()
        found.append(Answer(classes[order[0]], {classes[label]: row[label].item() for label in order}))
    return found
