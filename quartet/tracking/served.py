"""What MLflow is told of a family's served model: its questions, answers, parameters and an example.

The rooms of the families describe these in the plain terms below, which travel to the recorder as JSON; only
`model_logging.py` turns them into MLflow's.
"""

import base64
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Column:
    """A table of one column of `string` or `binary` values."""

    name: str
    kind: str

    def example(self, values: Sequence[str | bytes]) -> dict[str, object]:
        """Questions as JSON has them."""
        texts = [base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in values]
        return {"column": self.name, "kind": self.kind, "values": texts}


@dataclasses.dataclass(frozen=True)
class Array:
    """An array `(questions, steps, features)` of a numpy type; any number of questions and steps."""

    dtype: str
    features: int


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What may be asked for besides, with its default: an int, a float or a text."""

    name: str
    default: int | float | str


@dataclasses.dataclass(frozen=True)
class Interface:
    """What a model takes and answers.

    Attributes:
        question: one row or item per question.
        answer: `classes` (a table with the class, its probability and those of all classes) or `text`.
        parameters: of all questions at once.
    """

    question: Column | Array
    answer: str
    parameters: tuple[Parameter, ...] = ()


class Served(ABC):
    """A trained model that answers questions.

    Args:
        folder: of the model.
        files: what else it needs, by the names that `Plan.model_files` gives them.
    """

    @abstractmethod
    def __init__(self, folder: Path, files: Mapping[str, Path]):
        """Load the model."""

    @staticmethod
    @abstractmethod
    def interface(card: Mapping) -> Interface:
        """What the model with this card takes and answers."""

    @staticmethod
    @abstractmethod
    def example(card: Mapping) -> dict[str, object]:
        """A question: `Column.example`, or `{"array": nested lists, "dtype": …}`."""

    @abstractmethod
    def answer(self, questions: Any, parameters: Mapping[str, Any]) -> Any:
        """Answer a list of the column's values, or an array."""
