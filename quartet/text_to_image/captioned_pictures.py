"""Prepared pictures with all that is said of them: classes, captions, attributes."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from quartet.datasets.images import Images, open_images
from quartet.text_to_image.captions.attributes import attributes_of
from quartet.text_to_image.captions.open_captions import read_captions


@dataclasses.dataclass(frozen=True)
class CaptionedPictures:
    """The prepared pictures of a split and what is said of them, on one device.

    Attributes:
        images: `(pictures, channels, size, size)` uint8; on disk if there are too many.
        labels: their classes, `(pictures,)`; all 0 where there are none.
        captions: of each picture.
        attributes: `(pictures, attributes)`.
    """

    images: Images
    labels: Tensor
    captions: list[list[str]]
    attributes: Tensor

    def some(self, chosen: Tensor) -> "CaptionedPictures":
        """Some of the pictures."""
        captions = [self.captions[place] for place in chosen.tolist()]
        return CaptionedPictures(self.images[chosen], self.labels[chosen], captions, self.attributes[chosen])


def load_captioned(folder: Path, split: str, info: Mapping, device: torch.device) -> CaptionedPictures:
    """A split of the prepared pictures in `folder`, which `info` describes."""
    images, labels = open_images(folder, split, device)
    attributes = attributes_of(info)
    table = attributes.read(folder / f"{split}.csv") if attributes.names else torch.zeros(len(labels), 0).long()
    captions = read_captions(folder, split, info, labels.tolist())
    return CaptionedPictures(images, labels, captions, table.to(device))
