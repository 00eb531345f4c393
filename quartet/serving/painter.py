"""The text-to-image model: captions in, pictures out."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from quartet.artifacts.model_store import load_weights, read_card
from quartet.datasets.captions import captioner
from quartet.networks.building import rebuild_network
from quartet.networks.rejection import candidates, caption_evidence, strongest
from quartet.networks.samplers import drawing, to_uint8
from quartet.params.reading import section_of
from quartet.params.sections import EvaluateDiffusion


class Painter:
    """The model in `folder`."""

    def __init__(self, folder: Path):
        card = read_card(folder)
        self.network = rebuild_network(card, load_weights(folder))
        self.captioner = captioner(card["data"])

    def drawing(
        self,
        captions: list[str],
        count: int,
        *,
        steps: int,
        guidance: float,
        temperature: float,
        rejection: float,
        sampler: str | None,
        seed: int,
    ) -> Iterator[Tensor]:
        """The pictures on the way, `(captions · drawn, channels, size, size)`, once per step; the last are the result.

        With a `rejection` more than `count` of a caption are drawn, and one more step chooses `count` of them. Each
        caption is drawn by itself, so that its pictures are the same whatever the other captions are. Without a
        `sampler` it is the first of those that fit the model.

        Raises:
            ValueError: there is no caption, one is empty or too long, or has a word that is not in the vocabulary; a
                number is out of its range; or the sampler does not fit the model.
        """
        if not captions:
            raise ValueError("there is no caption to draw")
        how = {"steps": steps, "guidance": guidance, "temperature": temperature}
        section_of(EvaluateDiffusion, {**how, "rejection": rejection})
        drawn = candidates(count, rejection)
        how["sampler"] = sampler
        parts = []  # of each caption: the words, the generator of all its noise, the pictures on the way
        for words in self.captioner.encode(captions):
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(drawn, *self.network.picture_shape, generator=generator)
            prompts = words.expand(drawn, -1)  # (drawn, words)
            parts.append((prompts, generator, drawing(self.network, prompts, noise, generator=generator, **how)))
        for pictures in zip(*(on_the_way for _, _, on_the_way in parts), strict=True):
            yield torch.cat(pictures)
        if rejection:
            last = zip(pictures, parts, strict=True)
            yield torch.cat([self._chosen(found, words, generator, count) for found, (words, generator, _) in last])

    def _chosen(self, pictures: Tensor, prompts: Tensor, generator: torch.Generator, count: int) -> Tensor:
        """Those of a caption's pictures in which the network finds most of it."""
        pictures = pictures.clamp(-1, 1)
        evidence = caption_evidence(self.network, pictures, prompts, generator)
        return pictures[strongest(evidence[None], count)[0]]


def to_pixels(pictures: Tensor) -> np.ndarray:
    """`(batch, channels, size, size)` in [-1, 1] to uint8 `(batch, size, size, channels)`."""
    return to_uint8(pictures).permute(0, 2, 3, 1).numpy()


def to_image(pixels: np.ndarray) -> Image.Image:
    """`(height, width, channels)` uint8 as a picture, grey where there is one channel."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def to_png(pixels: np.ndarray) -> bytes:
    """`(height, width, channels)` uint8 as a PNG file."""
    stream = io.BytesIO()
    to_image(pixels).save(stream, format="PNG")
    return stream.getvalue()
