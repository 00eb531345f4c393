"""The interface of a family's served model: its inputs, outputs and parameters, and an example.

The families' packages describe these with the classes below. They are sent to the recorder as JSON, and
`model_logging.py` converts them to MLflow's types.
"""

import base64
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np

from quartet.artifacts.errors import BadInput, BadRequest
from quartet.datasets.questions import Questions

LAST_SEED = 2**63 - 1
FORECAST = ("forecast", "low", "median", "high")  # the mean, and the quantiles of 10 %, 50 % and 90 %
FROM_0 = "(counted from 0)"
# What one question to a server may hold: it is answered as a whole, within `served_model.SECONDS`.
MOST, MOST_DRAWN = 256, 32  # inputs
MOST_CHARACTERS, MOST_STEPS, MOST_BYTES = 2**20, 2**20, 2**25  # of all inputs: texts, series and files
WANTED = {"string": "text", "binary": "the base64 of a file"}


@dataclasses.dataclass(frozen=True)
class Column:
    """A table with one column of `string` or `binary` values."""

    name: str
    kind: str

    def example(self, values: Sequence[str | bytes]) -> dict[str, object]:
        """An example input as a JSON object."""
        texts = [base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in values]
        return {"column": self.name, "kind": self.kind, "values": texts}

    def checked(self, given: Iterable[Any]) -> list[Any]:
        """The values of a request, all of the column's kind.

        Raises:
            BadInput: there is no value, or one is missing or of another kind.
        """
        values, kind = list(given), str if self.kind == "string" else bytes
        if not values:
            raise BadInput(f"there is no {self.name} in the request")
        for row, value in enumerate(values):
            if not isinstance(value, kind):
                raise BadInput(f"{self.name} {row} {FROM_0}: found {_shown(value)}, wanted {WANTED[self.kind]}")
        return values


@dataclasses.dataclass(frozen=True)
class Array:
    """Series `(steps, features)` of a numpy type, any number of them; each has its own number of steps."""

    dtype: str
    features: int

    def checked(self, given: Iterable[Any]) -> list[np.ndarray]:
        """The series of a request, given as nested lists or an array: one array `(steps, features)` each.

        Raises:
            BadInput: there is no series; one has no steps, or a step has not as many features as the model takes; a
                value is missing, is not a finite number, or is not one of this type.
        """
        series = [steps.tolist() if isinstance(steps, np.ndarray) else steps for steps in given]
        if not series:
            raise BadInput("there is no series in the request")
        return [self._array(row, steps) for row, steps in enumerate(series)]

    def _array(self, row: int, steps: Any) -> np.ndarray:
        """One series as an array."""
        place = f"series {row}"
        if not isinstance(steps, list) or not steps:
            raise BadInput(f"{place} {FROM_0}: found {_shown(steps)}, wanted a list of steps")
        for step, features in enumerate(steps):
            if not isinstance(features, list) or len(features) != self.features:
                found = f"{len(features)} values" if isinstance(features, list) else _shown(features)
                wanted = f"a list of {self.features} feature{'s' * (self.features != 1)}"
                raise BadInput(f"{place}, step {step} {FROM_0}: found {found}, wanted {wanted}")
            for feature, value in enumerate(features):
                if not self._fits(value):
                    where = f"{place}, step {step}, feature {feature} {FROM_0}"
                    raise BadInput(f"{where}: found {_shown(value)}, wanted {self._wanted}")
        if self._is_of_pixels and _is_scaled(steps):
            raise BadInput(f"{place} {FROM_0}: found decimal numbers of at most 1, wanted {self._wanted}")
        return np.array(steps, dtype=self.dtype)

    @property
    def _is_of_pixels(self) -> bool:
        return self.dtype == "uint8"

    @property
    def _wanted(self) -> str:
        if self._is_of_pixels:
            return "pixels, which are whole numbers from 0 to 255 (multiply pixels from 0 to 1 by 255, and round them)"
        return f"a finite number within the range of {self.dtype}"

    def _fits(self, value: Any) -> bool:
        """Whether a value is a number that the type holds."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self._is_of_pixels:
            return 0 <= value <= 255 and value == int(value)
        return abs(value) <= float(np.finfo(self.dtype).max)  # which no NaN is


@dataclasses.dataclass(frozen=True)
class Parameter:
    """An optional parameter with its default, and the most that a server takes."""

    name: str
    default: int | float | str
    at_most: float | None = None


@dataclasses.dataclass(frozen=True)
class Interface:
    """A model's inputs and outputs.

    Attributes:
        inputs: one row or item each.
        output: `classes` (a table with the class, its probability and the probabilities of all classes), `number` (a
            table with one), `forecast` (a table with the columns `FORECAST`, each a list of steps ahead with a list of
            features), `text`, or `pictures` (PNG files in base64).
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

    Attributes:
        card: the model's card.
    """

    card: Mapping[str, Any]

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
        """Run the model on a list of the column's values, or of arrays `(steps, features)`.

        Raises:
            BadRequest: the model does not take a parameter.
            ValueError: the model does not take an input; the message is for whoever asked.
        """

    def defaults(self, section: Any) -> dict[str, Any]:
        """The parameters that a section of the settings of evaluation has, too."""
        names = {parameter.name for parameter in self.interface(self.card).parameters}
        return {name: value for name, value in vars(section).items() if name in names}

    def questions(self, path: Path, preparation: Any) -> Questions:
        """The inputs in a user's file or folder, for `python -m quartet predict`.

        `preparation` are the settings of the preparation of the family's data, which say how tables are read.

        Raises:
            BadInput: there are none, or they cannot be read.
        """
        raise BadInput(f"{path}: no file or folder is read for this model")


def file_of(files: Mapping[str, Path], name: str) -> Path:
    """One of the `files` that a model needs.

    Raises:
        ValueError: it is missing.
    """
    if name not in files:
        raise ValueError(
            f"the model's {name} is missing: it is from an earlier version; copy the one of the data that it was "
            "trained on beside its card.json"
        )
    return files[name]


def refuse_too_much(interface: Interface, given: Sequence[Any], parameters: Mapping[str, Any]) -> None:
    """Check that a server can answer a question in the time that it has.

    Raises:
        BadInput: there are too many inputs, they are too large, or a parameter asks for too much.
    """
    inputs, most = interface.inputs, MOST_DRAWN if interface.output == "pictures" else MOST
    name = inputs.name if isinstance(inputs, Column) else "series"
    if len(given) > most:
        raise BadInput(f"{name}: found {len(given):,} in the request, allowed are {most}; ask in several requests")
    of_text = isinstance(inputs, Column) and inputs.kind == "string"
    unit, largest = ("characters", MOST_CHARACTERS) if of_text else ("bytes", MOST_BYTES)
    if not isinstance(inputs, Column):
        unit, largest = "steps", MOST_STEPS
    size = sum(map(_size, given))
    if size > largest:
        raise BadInput(f"{name}: found {size:,} {unit} in the request, allowed are {largest:,}")
    for parameter in interface.parameters:
        value = parameters.get(parameter.name)
        if parameter.at_most is not None and isinstance(value, int | float) and value > parameter.at_most:
            raise BadInput(f"{parameter.name}: found {_shown(value)}, allowed is at most {parameter.at_most:g}")


def _size(value: object) -> int:
    return len(value) if isinstance(value, Sized) else 0


def check_seed(seed: int) -> None:
    """Check that torch takes a seed.

    Raises:
        BadRequest: it does not.
    """
    if not 0 <= seed <= LAST_SEED:
        raise BadRequest(f"seed: found {seed}, allowed is 0 to {LAST_SEED}")


def _is_scaled(steps: Any) -> bool:
    """Whether pixels are from 0 to 1 instead of 0 to 255: decimal numbers, 1 at most, and not a black picture."""
    values = [value for features in steps for value in features]
    return any(isinstance(value, float) for value in values) and 0 < max(values) <= 1


def _shown(value: object) -> str:
    """A value as JSON has it, shortened."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
