"""Serve the text-to-image model: captions in, pictures out."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.rebuilding import rebuild_network
from quartet.datasets.pictures import to_png
from quartet.datasets.questions import Questions, text_questions
from quartet.params.reading import section_of
from quartet.text_to_image.captions.open_captions import is_open
from quartet.text_to_image.captions.prompts import reader_of
from quartet.text_to_image.captions.templates import TEMPLATES, captioner
from quartet.text_to_image.networks import NETWORKS
from quartet.text_to_image.rejection import best_of_each, candidates
from quartet.text_to_image.samplers import drawing, final_pictures, to_uint8
from quartet.text_to_image.settings import EvaluateDiffusion
from quartet.tracking.served import Column, Interface, Parameter, Served, check_seed

CAPTION = Column("caption", "string")
PARAMETER_NAMES = ("steps", "guidance", "temperature", "rejection")  # of `EvaluateDiffusion`
SEED = Parameter("seed", 0)


class Painter(Served):
    """The text-to-image model in `folder`."""

    def __init__(self, folder: Path, files: Mapping[str, Path] | None = None):
        self.card = read_card(folder)
        self.network = rebuild_network(NETWORKS, self.card, load_weights(folder))
        self.captioner = reader_of(self.network, self.card["data"])

    def drawing(
        self,
        captions: Sequence[str],
        count: int,
        *,
        steps: int,
        guidance: float,
        temperature: float,
        rejection: float,
        sampler: str | None,
        seed: int,
    ) -> Iterator[Tensor]:
        """Draw captions; yields `(captions · drawn, channels, size, size)` after each step, at last the result.

        With a `rejection`, more than `count` pictures of each caption are drawn, and one more step chooses `count` of
        them. Captions are drawn separately, so that the pictures of one do not depend on the others. The default
        `sampler` is the first one that fits the model.

        Raises:
            ValueError: there is no caption; one is empty, is too long or has a word that is not in the vocabulary; a
                number is out of its range; or the sampler does not fit the model.
        """
        if not captions:
            raise ValueError("there is no caption to draw")
        check_seed(seed)
        how: dict[str, Any] = {"steps": steps, "guidance": guidance, "temperature": temperature}
        section_of(EvaluateDiffusion, {**how, "rejection": rejection})
        drawn = candidates(count, rejection)
        how["sampler"] = sampler
        parts = []  # for each caption: its words, the generator of all its noise, and an iterator of its pictures
        for words in self.captioner.encode(list(captions)):
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(drawn, *self.network.picture_shape, generator=generator)
            prompts = words.expand(drawn, -1)  # (drawn, words)
            parts.append((prompts, generator, drawing(self.network, prompts, noise, generator=generator, **how)))
        for pictures in zip(*(on_the_way for _, _, on_the_way in parts), strict=True):
            yield torch.cat(pictures)
        if rejection:
            finished = zip(pictures, parts, strict=True)
            yield torch.cat([self._best(found, words, generator, count) for found, (words, generator, _) in finished])

    def _best(self, pictures: Tensor, prompts: Tensor, generator: torch.Generator, count: int) -> Tensor:
        """The `count` pictures of one caption that match it best."""
        pictures = pictures.clamp(-1, 1)
        kept = {"caption_count": 1, "kept": count, "batch_size": len(pictures)}
        return pictures[best_of_each(self.network, pictures, prompts, generator=generator, **kept)]

    @staticmethod
    def interface(card: Mapping) -> Interface:
        """From captions to PNG files in base64."""
        default = EvaluateDiffusion()
        choice = [Parameter(name, getattr(default, name)) for name in PARAMETER_NAMES]
        return Interface(CAPTION, "pictures", (*choice, Parameter("sampler", ""), SEED))

    @staticmethod
    def example(card: Mapping) -> dict[str, object]:
        """A caption of training, or of the first class."""
        data = card["data"]
        if is_open(data):
            return CAPTION.example([data["captions"]["example"]])
        return CAPTION.example([captioner(data).caption(0, TEMPLATES[0])])

    def predict(self, inputs: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
        """A PNG file in base64 for each caption."""
        how = {name: parameters[name] for name in (*PARAMETER_NAMES, "seed")}
        pictures = final_pictures(self.drawing(inputs, 1, sampler=parameters["sampler"] or None, **how))
        return [base64.b64encode(to_png(pixels)).decode() for pixels in to_pixels(pictures)]

    def questions(self, path: Path, preparation: Any) -> Questions:
        """Captions, one on each line of a text file, or in the column `caption` or `text` of a table.

        Raises:
            BadInput: the file cannot be read.
        """
        return text_questions(path, ("caption", "text"))


def to_pixels(pictures: Tensor) -> np.ndarray:
    """`(batch, channels, size, size)` in [-1, 1] to uint8 `(batch, size, size, channels)`."""
    return to_uint8(pictures).permute(0, 2, 3, 1).numpy()
