"""Read a picture to start a drawing from, and a mask of the part to draw, as the model's card says."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quartet.artifacts.errors import BadInput
from quartet.images.preparation.decoding import WHITE_16, decode
from quartet.images.preparation.resizing import to_square
from quartet.text_to_image.editing import RESAMPLINGS, GivenPicture
from quartet.text_to_image.noise_schedules import to_signed

HALF = 128  # from this brightness on, a mask is white


def read_given(
    data: Mapping, picture: Path, mask: Path | None, strength: float | None, resamplings: int | None
) -> GivenPicture:
    """The picture in a file, prepared as those of training were, and what to draw of it.

    Args:
        data: what the model's card says of its pictures.
        picture, mask: files of any size, but both of the same; the white part of the mask is drawn anew.
        strength, resamplings: as of `GivenPicture`; None for its own.

    Raises:
        BadInput: a file is no picture, the sizes differ, or the mask is white or black all over.
    """
    pixels = _read("--picture", picture)
    how = (data["size"], data["channels"], data.get("fit", "stretch"), data.get("grey_range", (0, WHITE_16)))
    return GivenPicture(
        to_signed(torch.from_numpy(to_square(pixels, *how).copy())),
        1.0 if strength is None else strength,
        None if mask is None else _hole(_read("--mask", mask), mask, pixels.shape[:2], data),
        RESAMPLINGS if resamplings is None else resamplings,
    )


def _hole(pixels: np.ndarray, path: Path, shape: tuple[int, ...], data: Mapping) -> Tensor:
    if pixels.shape[:2] != shape:
        found, wanted = (f"{width}×{height}" for height, width in (pixels.shape[:2], shape))
        raise BadInput(f"--mask: {path} has {found} pixels, but the picture has {wanted}; they must be equal")
    hole = torch.from_numpy(to_square(pixels, data["size"], 1, data.get("fit", "stretch"))[0] >= HALF)
    if hole.all() or not hole.any():
        kind, what = ("white", "nothing of the picture stays") if hole.all() else ("black", "there is nothing to draw")
        raise BadInput(f"--mask: {path} is {kind} all over at the model's size, so {what}; white is drawn, black stays")
    return hole


def _read(option: str, path: Path) -> np.ndarray:
    try:
        with path.open("rb") as stream:
            return decode(stream, str(path))
    except OSError as error:
        raise BadInput(f"{option}: {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BadInput(f"{option}: {error}") from error
