"""The layer table of a trained model."""

from pathlib import Path

import pandas as pd

from quartet.artifacts.model_store import read_card
from quartet.networks.building import build_network
from quartet.networks.layer_table import layer_table


def layers_of(model: Path) -> pd.DataFrame:
    """`layer`, `kind`, `output` (shape without the batch) and `parameters` of the model in a folder, a row per layer.

    Raises:
        ValueError: there is no model.
    """
    rows = [
        (layer.name, layer.kind, " × ".join(map(str, layer.output)), layer.parameters)
        for layer in layer_table(build_network(read_card(model)["network"]))
    ]
    return pd.DataFrame(rows, columns=["layer", "kind", "output", "parameters"])
