"""The perceptron, asked: arrays of pixels in, classes out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from quartet.perceptron.network import NETWORKS

from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.rebuilding import rebuild_network
from quartet.classification.answers import answers_of, as_table
from quartet.datasets.images import to_unit_range
from quartet.tracking.served import Array, Interface, Served


class PerceptronClassifier(Served):
    """The model in `folder`."""

    def __init__(self, folder: Path, files: Mapping[str, Path] | None = None):
        self.card = read_card(folder)
        self.network = rebuild_network(NETWORKS, self.card, load_weights(folder))

    @staticmethod
    def interface(card: Mapping) -> Interface:
        """Rows of pixels to classes."""
        return Interface(Array("uint8", card["data"]["size"]), "classes")

    @staticmethod
    def example(card: Mapping) -> dict[str, object]:
        """A black picture."""
        size = card["data"]["size"]
        return {"array": np.zeros((1, size, size)).tolist(), "dtype": "uint8"}

    @torch.inference_mode()
    def predict(self, inputs: Any, parameters: Mapping[str, Any]) -> pd.DataFrame:
        """A row per picture."""
        logits = self.network(to_unit_range(torch.from_numpy(np.ascontiguousarray(inputs))))
        return as_table(answers_of(logits, self.card["data"]["classes"]))
