"""The interface of a family's served model: its inputs, outputs and parameters, and an example.

The families' packages describe these with the classes below. They are sent to the recorder as JSON, and
`model_logging.py` converts them to MLflow's types.
"""

import base64
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Column:
    """A table with one column of `string` or `binary` values."""

    name: str
    kind: str

    def example(self, values: Sequence[str | bytes]) -> dict[str, object]:
        """An example input as a JSON object."""
        texts = [base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in values]
        return {"column": self.name, "kind": self.kind, "values": texts}


@dataclasses.dataclass(frozen=True)
class Array:
    """An array `(inputs, steps, features)` of a numpy type, with any number of inputs and steps."""

    dtype: str
    features: int


@dataclasses.dataclass(frozen=True)
class Parameter:
    """An optional parameter with its default."""

    name: str
    default: int | float | str


@dataclasses.dataclass(frozen=True)
class Interface:
    """A model's inputs and outputs.

    Attributes:
        inputs: one row or item each.
        output: `classes` (a table with the class, its probability and the probabilities of all classes) or `text`.
        parameters: apply to all inputs of a request.
    """

    inputs: Column | Array
    output: str
    parameters: tuple[Parameter, ...] = ()


class Served(ABC):
    """A trained model that can be served.

    Args:
        folder: of the model.
        files: the other files that it needs, by their names in `Plan.model_files`.
    """

    @abstractmethod
    def __init__(self, folder: Path, files: Mapping[str, Path]):
        """Load the model."""

    @staticmethod
    @abstractmethod
    def interface(card: Mapping) -> Interface:
        """The inputs and outputs of the model with this card."""

    @staticmethod
    @abstractmethod
    def example(card: Mapping) -> dict[str, object]:
        """An example input: `Column.example`, or `{"array": nested lists, "dtype": …}`."""

    @abstractmethod
    def predict(self, inputs: Any, parameters: Mapping[str, Any]) -> Any:
        """Run the model on a list of the column's values, or on an array."""
