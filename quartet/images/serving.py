"""Serve the image classifier: picture files in, classes and probabilities out."""

import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from quartet.artifacts import paths
from quartet.artifacts.errors import BadRequest
from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.rebuilding import rebuild_network
from quartet.artifacts.time_limits import check_time
from quartet.classification.answers import Answer, answers_of, as_table
from quartet.classification.calibration import temperature_of
from quartet.datasets.images import first_images, normalise, rows_at_once, to_unit_range
from quartet.datasets.pictures import to_png
from quartet.datasets.questions import Question, Questions
from quartet.images.networks import NETWORKS
from quartet.images.preparation.decoding import WHITE_16, decode
from quartet.images.preparation.resizing import to_square
from quartet.tracking.served import Column, Interface, Served

PICTURE = Column("image", "binary")  # a picture file


class ImageClassifier(Served):
    """The image classifier in `folder`."""

    def __init__(self, folder: Path, files: Mapping[str, Path] | None = None):
        self.card = read_card(folder)
        self.network = rebuild_network(NETWORKS, self.card, load_weights(folder))

    @torch.inference_mode()
    def classify(self, pictures: Iterable[tuple[str, bytes]]) -> list[Answer]:
        """Classify pictures given as name and encoded bytes (PNG, JPEG, …); any size and mode will do.

        Raises:
            BadRequest: the model was trained on captions alone.
            ValueError: a picture cannot be decoded; the message has its name.
        """
        data = self.card["data"]
        if len(data["classes"]) < 2:
            raise BadRequest("the model was trained on pictures without classes, so it tells none apart")
        how = (data["size"], data["channels"], data.get("fit", "stretch"), data.get("grey_range", (0, WHITE_16)))
        squares = []
        for name, content in pictures:
            check_time()
            squares.append(to_square(decode(io.BytesIO(content), name), *how))
        images = torch.from_numpy(np.stack(squares))  # (pictures, channels, size, size)
        logits = []
        for some in images.split(rows_at_once(images)):
            check_time()
            logits.append(self.network(normalise(to_unit_range(some), data["mean"], data["std"])))
        return answers_of(torch.cat(logits), data["classes"], temperature_of(self.card))

    def classify_files(self, files: Iterable[Path]) -> list[Answer]:
        """Classify picture files, of which one at a time is read.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file cannot be decoded; the message has its path.
        """
        return self.classify((str(path), path.read_bytes()) for path in files)

    def questions(self, path: Path, preparation: Any) -> Questions:
        """The pictures of a folder, or of a table; their labels if it says them, or folders are named as the classes.

        Raises:
            BadInput: there is no picture, or the table has no column `file_name`.
        """
        # Reads tables with pandas, and walks folders: not for one picture.
        from quartet.datasets.picture_folders.own_pictures import (
            find_pictures_to_classify,
            print_what_is_left_out,
            read_picture,
        )

        found = find_pictures_to_classify(path, self.card["data"]["classes"])
        print_what_is_left_out(found, path)
        asked = [Question(each.name, functools.partial(read_picture, each), each.label) for each in found.pictures]
        return Questions("file", asked)

    @staticmethod
    def interface(card: Mapping) -> Interface:
        """From picture files to classes."""
        return Interface(PICTURE, "classes")

    @staticmethod
    def example(card: Mapping) -> dict[str, object]:
        """Two pictures from the validation split."""
        images = first_images(paths.processed("images"), "validation", 2)
        return PICTURE.example([to_png(image.permute(1, 2, 0).numpy()) for image in images])

    def predict(self, inputs: Sequence[bytes], parameters: Mapping[str, Any]) -> pd.DataFrame:
        """Classify picture files; returns one row per picture."""
        return as_table(self.classify((f"image {row}", image) for row, image in enumerate(inputs)))
