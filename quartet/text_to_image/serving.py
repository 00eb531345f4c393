"""Serve the text-to-image model: captions in, pictures out."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quartet.artifacts.errors import BadInput, BadRequest
from quartet.artifacts.model_store import load_weights, read_card
from quartet.artifacts.rebuilding import rebuild_network
from quartet.datasets.pictures import to_png
from quartet.datasets.questions import Questions, text_questions
from quartet.params.reading import section_of
from quartet.text_to_image.captions.open_captions import is_open
from quartet.text_to_image.captions.prompts import reader_of
from quartet.text_to_image.captions.templates import TEMPLATES, captioner
from quartet.text_to_image.editing import GivenPicture, redrawing
from quartet.text_to_image.guidance import guided
from quartet.text_to_image.networks import NETWORKS
from quartet.text_to_image.rejection import best_of_each, candidates
from quartet.text_to_image.samplers import SAMPLERS, denoising_times, final_pictures, solver, to_uint8
from quartet.text_to_image.settings import EvaluateDiffusion
from quartet.tracking.served import Column, Interface, Parameter, Served, check_seed

CAPTION = Column("caption", "string")
PARAMETER_NAMES = ("steps", "guidance", "temperature", "rejection")  # of `EvaluateDiffusion`
SEED = Parameter("seed", 0)
NEGATIVE = Parameter("negative", "")  # no caption if empty


class Painter(Served):
    """The text-to-image model in `folder`."""

    def __init__(self, folder: Path, files: Mapping[str, Path] | None = None):
        self.card = read_card(folder)
        self.network = rebuild_network(NETWORKS, self.card, load_weights(folder))
        self.captioner = reader_of(self.network, self.card["data"])

    @torch.no_grad()
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
        negative: str | None = None,
        between: bool = False,
        given: GivenPicture | None = None,
    ) -> Iterator[Tensor]:
        """Draw captions; yields `(captions · count, channels, size, size)` after each step, at last the result.

        With a `rejection`, more than `count` pictures of each caption are drawn, and one more step chooses `count` of
        them. Captions are drawn separately, so that the pictures of one do not depend on the others. The default
        `sampler` is the first one that fits the model.

        Args:
            captions: what to draw.
            count: pictures of each caption.
            steps, guidance, temperature, rejection, sampler: as in `EvaluateDiffusion`.
            seed: of all noise.
            negative: a caption to move away from, instead of from no caption.
            between: draw `count` pictures from the first caption to the second, all from the same noise.
            given: a picture to start from instead of noise.

        Raises:
            ValueError: there is no caption; one is empty, is too long or has a word that is not in the vocabulary.
            BadRequest: a number is out of its range, the sampler does not fit, or the negative caption is wrong.
            BadInput: there is nothing between the captions.
        """
        if not captions:
            raise ValueError("there is no caption to draw")
        check_seed(seed)
        numbers = {"steps": steps, "guidance": guidance, "temperature": temperature, "rejection": rejection}
        _check(numbers)
        away = None if negative is None else self._read_negative(negative)
        prompts = self.captioner.encode(list(captions))
        towards, shares, kept = None, [0.0] * len(captions), count
        if between:
            check_between(len(captions), count, rejection)
            towards, shares, kept = prompts[1], torch.linspace(0, 1, count, dtype=torch.float64).tolist(), 1
            prompts = prompts[:1].expand(count, -1)
        drawn, times = candidates(kept, rejection), denoising_times(steps, self.network.schedule)
        parts = []  # for each prompt: its words, the generator of all its noise, and an iterator of its pictures
        for words, share in zip(prompts, shares, strict=True):
            generator = torch.Generator().manual_seed(seed)
            noise = temperature * torch.randn(drawn, *self.network.picture_shape, generator=generator)
            asked = words.expand(drawn, -1)  # (drawn, words)
            others: dict[str, Any] = {
                "negative": _repeated(away, drawn),
                "towards": _repeated(towards, drawn),
                "share": share,
            }
            solve = solver(self.network, guided(self.network, asked, guidance, **others), sampler, generator)
            way = solve(noise, times)
            if given is not None:
                way = redrawing(solve, given, noise, times, self.network.schedule, generator)
            parts.append((asked, generator, way))
        for pictures in zip(*(on_the_way for _, _, on_the_way in parts), strict=True):
            yield torch.cat(pictures)
        if rejection:
            finished = zip(pictures, parts, strict=True)
            yield torch.cat([self._best(found, words, generator, count) for found, (words, generator, _) in finished])

    def _read_negative(self, caption: str) -> Tensor:
        try:
            return self.captioner.encode([caption])[0]
        except ValueError as error:
            raise BadRequest(f"negative: {error}") from error

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
        return Interface(CAPTION, "pictures", (*choice, Parameter("sampler", ""), NEGATIVE, SEED))

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
        how |= {name: parameters[name] or None for name in ("sampler", "negative")}
        if how["negative"] is not None and how["guidance"] == 1:
            raise BadRequest("negative: guidance 1 does not use it; set guidance to another value")
        pictures = final_pictures(self.drawing(inputs, 1, **how))
        return [base64.b64encode(to_png(pixels)).decode() for pixels in to_pixels(pictures)]

    def defaults(self, section: EvaluateDiffusion) -> dict[str, Any]:
        """The parameters of `evaluate.diffusion`, with the sampler that fits the model."""
        return {**super().defaults(section), "sampler": self.fitting(section.sampler) or ""}

    def fitting(self, sampler: str) -> str | None:
        """The sampler if it fits the model; None means the first one that does."""
        return sampler if sampler in SAMPLERS[self.network.objective] else None

    def questions(self, path: Path, preparation: Any) -> Questions:
        """Captions, one on each line of a text file, or in the column `caption` or `text` of a table.

        Raises:
            BadInput: the file cannot be read.
        """
        return text_questions(path, ("caption", "text"))


def _check(numbers: dict[str, Any]) -> None:
    try:
        section_of(EvaluateDiffusion, numbers)
    except ValueError as error:
        raise BadRequest(str(error)) from error


def check_between(captions: int, count: int, rejection: float) -> None:
    """Check that pictures can be drawn between captions.

    Raises:
        BadInput: there are not two captions, fewer than two pictures, or some are rejected.
    """
    if captions != 2:
        raise BadInput(f"between: found {captions} captions; pictures are drawn between two")
    if count < 2:
        raise BadInput(f"between: found {count} picture; there must be at least 2, one at each end")
    if rejection:
        raise BadInput(f"between: all pictures are drawn from the same noise, so rejection must be 0, not {rejection}")


def _repeated(words: Tensor | None, count: int) -> Tensor | None:
    """`(words,)` ids to `(count, words)`."""
    return None if words is None else words.expand(count, -1)


def to_pixels(pictures: Tensor) -> np.ndarray:
    """`(batch, channels, size, size)` in [-1, 1] to uint8 `(batch, size, size, channels)`."""
    return to_uint8(pictures).permute(0, 2, 3, 1).numpy()
