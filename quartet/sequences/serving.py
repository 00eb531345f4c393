"""Serve the sequence network: sequences or passages in; classes, numbers or forecasts out."""

from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, BadRequest
from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.rebuilding import rebuild_network
from quartet.artifacts.tensor_files import load_tensors
from quartet.artifacts.time_limits import check_time
from quartet.classification.answers import Answer, answers_of, as_table
from quartet.classification.calibration import temperature_of
from quartet.datasets.questions import Questions
from quartet.datasets.tokenizers import load_tokenizer
from quartet.sequences.loading import network_inputs, series_values
from quartet.sequences.networks import NETWORKS
from quartet.sequences.training.goals import Number
from quartet.tracking.served import FORECAST, Array, Column, Interface, Served, file_of

PASSAGE = Column("passage", "string")
AT_ONCE = 2**16  # tokens of passages that go through the network together


class SequenceModel(Served):
    """The sequence network in `folder`; a classifier of text needs `tokenizer` in `files`."""

    def __init__(self, folder: Path, files: Mapping[str, Path] | None = None):
        self.card = read_card(folder)
        self.network: Any = rebuild_network(NETWORKS, self.card, load_weights(folder))
        reads_text = self.card["data"]["input"] == "tokens"
        self.tokenizer = load_tokenizer(file_of(files or {}, "tokenizer")) if reads_text else None

    def classify(self, sequences: Sequence[np.ndarray] | Sequence[str]) -> list[Answer]:
        """Classify arrays `(steps, features)` of numbers or of pixels from 0 to 255, or passages of text.

        Raises:
            BadRequest: the model was trained on the captions of pictures alone.
        """
        if len(self.card["data"]["classes"]) < 2:
            raise BadRequest("the model was trained on pictures without classes, so it tells none apart")
        return answers_of(self._outputs(sequences), self.card["data"]["classes"], temperature_of(self.card))

    def numbers(self, sequences: Sequence[np.ndarray]) -> list[float]:
        """The number that each array `(steps, features)` predicts."""
        data = self.card["data"]
        goal = Number(data["target_mean"], data["target_std"], "mean_squared_error")
        return goal.numbers(self._outputs(sequences)).tolist()

    @torch.inference_mode()
    def _outputs(self, sequences: Sequence[np.ndarray] | Sequence[str]) -> torch.Tensor:
        """The network's outputs, `(batch, outputs)`."""
        data = self.card["data"]
        if self.tokenizer is None:
            outputs = torch.empty(len(sequences), len(data["classes"]) or 1)
            for rows in _rows_by_length(sequences):  # padding would change the answers of shorter ones
                check_time()
                batch = np.stack([self._values(sequences[row]) for row in rows])
                outputs[rows] = self.network(network_inputs(torch.from_numpy(batch), data))
            return outputs
        tokens = [torch.tensor(self.tokenizer.encode(text or " ").ids) for text in sequences]
        outputs = torch.empty(len(tokens), len(data["classes"]))
        for rows in _rows_of_similar_length(list(map(len, tokens))):
            check_time()
            padded = pad_sequence([tokens[row] for row in rows], batch_first=True)[..., None]  # (batch, longest, 1)
            outputs[rows] = self.network(network_inputs(padded, data), torch.tensor([len(tokens[row]) for row in rows]))
        return outputs

    @torch.inference_mode()
    def forecast(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """How each series goes on: the mean, and the quantiles in `QUANTILES`, `(1 + quantiles, horizon, features)`.

        Of each array `(steps, features)`, the last window counts. If features are known in advance, its last `horizon`
        steps are the future, of which only these features are read.

        Raises:
            BadInput: a series is shorter than the window.
        """
        data = self.card["data"]
        known, ahead = len(data["known"]), data["horizon"] if data["known"] else 0
        forecast_features = data["features"] - known
        wanted = data["window"] + ahead
        for row, series in enumerate(sequences):
            if len(series) < wanted:
                more = f", and {ahead} steps of what is known of the future" if ahead else ""
                raise BadInput(
                    f"series {row} (counted from 0): has {len(series)} steps; the model looks {data['window']} steps "
                    f"back{more}"
                )
        values = np.stack([self._values(series[-wanted:]) for series in sequences])
        standardised = torch.from_numpy(values) / torch.tensor(data["std"])
        past, future = standardised[:, : data["window"]], standardised[:, data["window"] :, forecast_features:]
        if not known:
            future = standardised.new_zeros(len(values), data["horizon"], 0)
        spread = self.card.get("calibration", {}).get("spread", 1.0)
        outputs = self.network.forecast(past, future, spread).double()  # (batch, horizon, features, outputs)
        std, mean = (torch.tensor(data[name][:forecast_features], dtype=torch.float64) for name in ("std", "mean"))
        return list((outputs * std[:, None] + mean[:, None]).movedim(-1, 1).numpy())

    def _values(self, sequence: Any) -> np.ndarray:
        """What the network reads of a sequence; pixels come line by line, and are put in the order of training."""
        data = self.card["data"]
        if data["input"] != "pixels":
            return series_values(sequence, data)
        pixels = np.asarray(sequence)
        if "order" not in data:
            return pixels
        if len(pixels) != data["steps"]:
            raise BadInput(f"a sequence has {len(pixels)} steps; the model reads whole pictures, of {data['steps']}")
        return pixels[data["order"]]

    def questions(self, path: Path, preparation: Any) -> Questions:
        """The series or passages of a table, of a `.ts` file, or passages on the lines of a text file.

        Raises:
            BadInput: the file cannot be read, or its series have not the model's features.
        """
        # Reads tables with pandas, which takes a while to import.
        from quartet.sequences.questions import history_questions, passage_questions, series_questions

        data = self.card["data"]
        if data["input"] == "pixels":
            raise BadInput(f"{path}: this model reads pictures line by line; `predict rnn` takes series and passages")
        readers = {"tokens": passage_questions, "numbers": series_questions, "forecast": history_questions}
        return readers[data["input"]](path, data, preparation)

    @staticmethod
    def interface(card: Mapping) -> Interface:
        """From passages, or arrays of pixels or numbers, to classes, a number, or a forecast."""
        data = card["data"]
        if data["input"] == "tokens":
            return Interface(PASSAGE, "classes")
        output = {"numbers": "number", "forecast": "forecast"}.get(data.get("task", ""), "classes")
        return Interface(Array("uint8" if data["input"] == "pixels" else "float64", data["features"]), output)

    @staticmethod
    def example(card: Mapping) -> dict[str, object]:
        """A sentence, or the first sequence of the validation split."""
        if card["data"]["input"] == "tokens":
            return PASSAGE.example(["Fit the model according to the given training data."])
        tensors = load_tensors(paths.processed("sequences") / "validation.safetensors")
        values = tensors["values"][: int(tensors["lengths"][0])].numpy()
        if "order" in card["data"]:
            values = values[np.argsort(card["data"]["order"])]
        if card["data"]["input"] != "pixels":
            values = values.astype(np.float64) + np.asarray(card["data"]["mean"])
        if card["data"]["input"] == "forecast":
            values = values[: card["data"]["window"] + card["data"]["horizon"]]
        return {"array": [values.tolist()], "dtype": str(values.dtype)}

    def predict(self, inputs: Sequence[str] | Sequence[np.ndarray], parameters: Mapping[str, Any]) -> pd.DataFrame:
        """Answer sequences; returns one row per sequence: its class, number or forecast."""
        output = self.interface(self.card).output
        if output == "forecast":
            rows = [dict(zip(FORECAST, found.tolist(), strict=True)) for found in self.forecast(inputs)]  # type: ignore[arg-type]
            return pd.DataFrame(rows, columns=list(FORECAST))
        if output == "number":
            return pd.DataFrame({"number": self.numbers(inputs)})  # type: ignore[arg-type]
        return as_table(self.classify(inputs))


def _rows_of_similar_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The rows of passages of so many tokens, from short to long; a batch has at most `AT_ONCE` tokens with padding."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and (len(rows) + 1) * lengths[row] > AT_ONCE:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _rows_by_length(sequences: Sequence[Sized]) -> list[list[int]]:
    """The rows of the sequences of each length."""
    rows: dict[int, list[int]] = {}
    for row, sequence in enumerate(sequences):
        rows.setdefault(len(sequence), []).append(row)
    return list(rows.values())
