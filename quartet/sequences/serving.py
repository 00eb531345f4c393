"""Serve the sequence classifier: sequences or passages in, classes and probabilities out."""

from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput
from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.rebuilding import rebuild_network
from quartet.classification.answers import Answer, answers_of, as_table
from quartet.datasets.questions import Questions
from quartet.datasets.tokenizers import load_tokenizer
from quartet.sequences.loading import centred, load_sequences, network_inputs
from quartet.sequences.network import NETWORKS
from quartet.tracking.served import Array, Column, Interface, Served

PASSAGE = Column("passage", "string")


class SequenceClassifier(Served):
    """The sequence classifier in `folder`; a classifier of text needs `tokenizer` in `files`."""

    def __init__(self, folder: Path, files: Mapping[str, Path] | None = None):
        self.card = read_card(folder)
        self.network = rebuild_network(NETWORKS, self.card, load_weights(folder))
        tokenizer = (files or {}).get("tokenizer")
        self.tokenizer = load_tokenizer(tokenizer) if tokenizer else None

    @torch.inference_mode()
    def classify(self, sequences: Sequence[np.ndarray] | Sequence[str]) -> list[Answer]:
        """Classify arrays `(steps, features)` of numbers or of pixels from 0 to 255, or passages of text."""
        data = self.card["data"]
        if self.tokenizer is None:
            logits = torch.empty(len(sequences), len(data["classes"]))
            for rows in _rows_by_length(sequences):  # padding would change the answers of shorter ones
                batch = np.stack([self._values(sequences[row]) for row in rows])
                logits[rows] = self.network(network_inputs(torch.from_numpy(batch), data))
        else:
            tokens = [torch.tensor(self.tokenizer.encode(text or " ").ids) for text in sequences]
            padded = pad_sequence(tokens, batch_first=True)[..., None]  # (batch, longest, 1)
            logits = self.network(network_inputs(padded, data), torch.tensor([len(ids) for ids in tokens]))
        return answers_of(logits, data["classes"])

    def _values(self, sequence: Any) -> np.ndarray:
        data = self.card["data"]
        return centred(sequence, data["mean"]) if data["input"] == "numbers" else np.asarray(sequence)

    def questions(self, path: Path, preparation: Any) -> Questions:
        """The series or passages of a table, of a `.ts` file, or passages on the lines of a text file.

        Raises:
            BadInput: the file cannot be read, or its series have not the model's features.
        """
        # Reads tables with pandas, which takes a while to import.
        from quartet.sequences.questions import passage_questions, series_questions

        data = self.card["data"]
        if data["input"] == "pixels":
            raise BadInput(f"{path}: this model reads pictures line by line; `predict rnn` takes series and passages")
        return (passage_questions if data["input"] == "tokens" else series_questions)(path, data, preparation)

    @staticmethod
    def interface(card: Mapping) -> Interface:
        """From passages, or arrays of pixels or numbers, to classes."""
        data = card["data"]
        if data["input"] == "tokens":
            return Interface(PASSAGE, "classes")
        return Interface(Array("uint8" if data["input"] == "pixels" else "float64", data["features"]), "classes")

    @staticmethod
    def example(card: Mapping) -> dict[str, object]:
        """A sentence, or the first sequence of the validation split."""
        if card["data"]["input"] == "tokens":
            return PASSAGE.example(["Fit the model according to the given training data."])
        sequences = load_sequences(paths.processed("sequences"), "validation")
        values = sequences.values[: int(sequences.lengths[0])].numpy()
        if card["data"]["input"] == "numbers":
            values = values.astype(np.float64) + np.asarray(card["data"]["mean"])
        return {"array": [values.tolist()], "dtype": str(values.dtype)}

    def predict(self, inputs: Sequence[str] | Sequence[np.ndarray], parameters: Mapping[str, Any]) -> pd.DataFrame:
        """Classify sequences; returns one row per sequence."""
        return as_table(self.classify(inputs))


def _rows_by_length(sequences: Sequence[Sized]) -> list[list[int]]:
    """The rows of the sequences of each length."""
    rows: dict[int, list[int]] = {}
    for row, sequence in enumerate(sequences):
        rows.setdefault(len(sequence), []).append(row)
    return list(rows.values())
