"""Sheets of images in named rows, of convolution kernels and of Grad-CAM maps; and animations."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from quartet.artifacts.writing import atomic_path
from quartet.reporting.drawing.figures import INK, printable
from quartet.reporting.drawing.fonts import columns as width_of

GAP = 1.06  # width of a picture with the gap after it, in pictures


def letters_above(cell: float) -> int:
    """How many letters of 7 points fit above a picture of `cell` inches."""
    return round(17 * GAP * cell)


def wrapped(name: str, cell: float, lines: int = 4) -> str:
    """A name on as many lines as it needs above a picture of `cell` inches; what `lines` cannot hold is left out."""
    return "\n".join(textwrap.wrap(name, letters_above(cell), max_lines=lines, placeholder=" …"))


def image_sheet(
    rows: Sequence[np.ndarray | list[np.ndarray]],
    row_titles: Sequence[str],
    image_titles: Sequence[Sequence[str]] | None = None,
    title: str = "",
    cell: float = 0.85,
) -> Figure:
    """Rows of images, each row with a name on its left.

    Args:
        rows: each `(images, channels, height, width)`, uint8 or in [0, 1], or a list of such images of different sizes.
        row_titles: a name for each row.
        image_titles: a caption above each image, of one or more lines; long lines are shortened.
        title: above all rows.
        cell: inches per image.
    """
    columns = max(len(row) for row in rows)
    names = [printable(name, longest=60) for name in row_titles]
    left = 0.085 * max(map(width_of, names), default=0) + 0.15
    pitch, fitting = GAP * cell, letters_above(cell)
    captions = [
        ["\n".join(printable(line, fitting) for line in caption.split("\n")) for caption in row]
        for row in image_titles or [[""] * len(row) for row in rows]
    ]
    lines = [max(caption.count("\n") + 1 if caption else 0 for caption in row) for row in captions]
    heights = [pitch + 0.14 * count for count in lines]
    title = printable(title, longest=120)
    head = 0.45 if title else 0.1
    width, height = left + columns * pitch, head + sum(heights)
    width = max(width, 0.09 * width_of(title) + 0.4)
    figure = Figure(figsize=(width, height))
    for i, row in enumerate(rows):
        bottom = 1 - (head + sum(heights[: i + 1])) / height
        centre = bottom + cell / 2 / height
        figure.text((left - 0.1) / width, centre, names[i], ha="right", va="center", fontsize=10, color=INK)
        for j, image in enumerate(row):
            axes = figure.add_axes(((left + j * pitch) / width, bottom, cell / width, cell / height))
            shown = image / 255 if image.dtype == np.uint8 else image
            axes.imshow(shown[0] if len(shown) == 1 else shown.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
            axes.set_axis_off()
            axes.set_title(captions[i][j], fontsize=7, pad=2, color=INK)
    if title:
        figure.text(0.1 / width, 1 - 0.12 / height, title, ha="left", va="top", fontsize=12, color=INK)
    return figure


def filter_sheet(kernels: np.ndarray, columns: int = 16) -> Figure:
    """Convolution kernels `(kernels, inputs, height, width)`: RGB kernels in colour, of others the first input."""
    colour = kernels.shape[1] == 3
    reach = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    shown = kernels / np.maximum(reach, 1e-12) / 2 + 0.5  # grey is zero
    shown = shown if colour else shown[:, :1]
    rows = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    return image_sheet(rows, [""] * len(rows), title="Filters of the first layer (grey is zero)", cell=0.6)


def attention_sheet(images: np.ndarray, seen: np.ndarray, names: Sequence[str], columns: int = 6) -> Figure:
    """Images above the same images under their heat maps, `columns` per row.

    `images` is `(images, channels, size, size)` in [0, 1], `seen` the heat maps `(images, size, size)` in [0, 1], and
    `names` the predicted classes.
    """
    luminance = np.repeat(images.mean(axis=1)[..., None], 3, axis=3)
    heat = colormaps["inferno"](seen)[..., :3]
    blended = (0.35 * luminance + 0.65 * heat).transpose(0, 3, 1, 2)
    title = "Where the network looked for the predicted class (Grad-CAM)"
    rows, row_titles, captions = [], [], []
    for start in range(0, len(names), columns):
        band = slice(start, start + columns)
        rows += [images[band], blended[band]]
        row_titles += ["image", "Grad-CAM"]
        captions += [names[band], [""] * len(names[band])]
    return image_sheet(rows, row_titles, captions, title, cell=1.4)


def save_animation(frames: Sequence[np.ndarray], path: Path, zoom: int = 8) -> None:
    """Save pictures `(channels, height, width)` uint8 as a looping GIF that pauses at its end."""
    pictures = [Image.fromarray(frame.transpose(1, 2, 0).squeeze()) for frame in frames]
    size = (pictures[0].width * zoom, pictures[0].height * zoom)
    first, *others = (picture.resize(size, Image.Resampling.NEAREST) for picture in pictures)
    durations = [120] * len(others) + [1500]
    with atomic_path(path) as temporary:
        first.save(temporary, save_all=True, append_images=others, duration=durations, loop=0)
