"""The figures: learning curves, confusion matrices, reliability, sheets of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from quartet.artifacts.writing import atomic_path

INK, BLUE, ORANGE, GREY = "#1f2430", "#2563a8", "#d9722e", "#9aa1ad"
LINE_COLOURS = (BLUE, ORANGE, GREY, "#3b8f5a", "#8a4fa3", "#b8a13a")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight", facecolor="white")


def save_animation(frames: Sequence[np.ndarray], path: Path, zoom: int = 8) -> None:
    """Pictures `(channels, height, width)` uint8 as an endless GIF that rests at its end; equal input, equal bytes."""
    from PIL import Image

    pictures = [Image.fromarray(frame.transpose(1, 2, 0).squeeze()) for frame in frames]
    size = (pictures[0].width * zoom, pictures[0].height * zoom)
    first, *others = (picture.resize(size, Image.Resampling.NEAREST) for picture in pictures)
    durations = [120] * len(others) + [1500]
    with atomic_path(path) as temporary:
        first.save(temporary, save_all=True, append_images=others, duration=durations, loop=0)


def learning_curves(history: pd.DataFrame, kept_step: int) -> Figure:
    """Loss on both splits and the validation score over the steps; a dot marks the step whose weights are kept."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    losses.plot(history["step"], history["training_loss"], color=GREY, label="training")
    losses.plot(history["step"], history["validation_loss"], color=BLUE, label="validation")
    losses.set(title="Loss", xlabel="step")
    losses.legend(frameon=False)
    (kept,) = history.loc[history["step"] == kept_step, "validation_score"]
    scores.plot(history["step"], history["validation_score"], color=BLUE)
    scores.plot(kept_step, kept, "o", color=ORANGE)
    scores.set(title=f"Validation score ({kept:.4f} with the weights kept)", xlabel="step")
    for axes in (losses, scores):
        _tidy(axes)
    return figure


def confusion_figure(counts: pd.DataFrame, title: str, row_label: str = "actual") -> Figure:
    """The confusion matrix as a heat map whose cells carry their counts where they fit; legible up to 100 classes."""
    classes = len(counts)
    names = [_visible(name) for name in counts.columns]
    cell = min(max(30.0, 220 / classes), 1080 / classes)  # points, as all lengths here
    if classes <= 100:
        cell = max(cell, 4.5 * len(str(counts.to_numpy().max())))  # room for the digits
    letters = min(9.0, 0.75 * cell)
    beside = 0.6 * letters * max(map(len, names))  # what the names take
    upright = classes > 10 or beside > 2 * cell
    width, height = classes * cell + beside + 150, classes * cell + beside + 80
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    axes = figure.subplots()
    shares = counts.to_numpy() / np.maximum(counts.to_numpy().sum(axis=1, keepdims=True), 1)
    # The root lets one mistake in a hundred be seen.
    scale = PowerNorm(0.5, vmin=0, vmax=1)
    shown = axes.imshow(shares, cmap="Blues", norm=scale)
    axes.set_xticks(range(classes), names, rotation=90 if upright else 45, fontsize=letters)
    axes.set_yticks(range(classes), names, fontsize=letters)
    axes.set(xlabel="predicted", ylabel=row_label, title=title)
    for row, column in zip(*np.nonzero(counts.to_numpy()), strict=True):
        count = str(counts.iat[row, column])
        size = min(8.0, 0.75 * cell, cell / (0.75 * len(count)))
        if size >= 4:
            colour = "white" if scale(shares[row, column]) > 0.6 else INK
            text = axes.text(column, row, count, ha="center", va="center", fontsize=size, color=colour)
            text.set_in_layout(False)
    figure.colorbar(shown, ax=axes, label=f"share of the {row_label} class", shrink=0.7)
    return figure


def reliability_figure(bins: pd.DataFrame, error: float) -> Figure:
    """How often the network is right when it is this sure."""
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
    axes.plot(bins["confidence"], bins["accuracy"], "o-", color=BLUE, label="this network")
    axes.set(xlabel="confidence", ylabel="accuracy", title=f"Expected calibration error {error:.4f}")
    axes.legend(frameon=False, loc="upper left")
    _tidy(axes)
    return figure


def image_sheet(
    rows: Sequence[np.ndarray],
    row_titles: Sequence[str],
    image_titles: Sequence[Sequence[str]] | None = None,
    title: str = "",
    cell: float = 0.85,
) -> Figure:
    """Rows of images, each row named at its left.

    Args:
        rows: each `(images, channels, height, width)` in [0, 1], or a list of such single images of mixed sizes.
        row_titles: a name for each row.
        image_titles: a caption above each image, of one line or more; a line is shortened to what fits.
        title: above the whole.
        cell: inches per image.
    """
    columns = max(len(row) for row in rows)
    names = [_visible(name, longest=60) for name in row_titles]
    left = 0.085 * max(map(len, names), default=0) + 0.15
    pitch = 1.06 * cell
    fitting = round(17 * pitch)  # letters of 7 points
    captions = [
        ["\n".join(_visible(line, fitting) for line in caption.split("\n")) for caption in row]
        for row in image_titles or [[""] * len(row) for row in rows]
    ]
    lines = [max(caption.count("\n") + 1 if caption else 0 for caption in row) for row in captions]
    heights = [pitch + 0.14 * count for count in lines]
    title = _visible(title, longest=120)
    head = 0.45 if title else 0.1
    width, height = left + columns * pitch, head + sum(heights)
    width = max(width, 0.09 * len(title) + 0.4)
    figure = Figure(figsize=(width, height))
    for i, row in enumerate(rows):
        bottom = 1 - (head + sum(heights[: i + 1])) / height
        centre = bottom + cell / 2 / height
        figure.text((left - 0.1) / width, centre, names[i], ha="right", va="center", fontsize=10, color=INK)
        for j, image in enumerate(row):
            axes = figure.add_axes([(left + j * pitch) / width, bottom, cell / width, cell / height])
            grey = image.shape[0] == 1
            axes.imshow(image[0] if grey else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
            axes.set_axis_off()
            axes.set_title(captions[i][j], fontsize=7, pad=2, color=INK)
    if title:
        figure.text(0.1 / width, 1 - 0.12 / height, title, ha="left", va="top", fontsize=12, color=INK)
    return figure


def filter_sheet(kernels: np.ndarray, columns: int = 16) -> Figure:
    """Convolution kernels `(kernels, inputs, height, width)`: RGB kernels in colour, others by their first input."""
    colour = kernels.shape[1] == 3
    reach = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    shown = kernels / np.maximum(reach, 1e-12) / 2 + 0.5  # grey is zero
    shown = shown if colour else shown[:, :1]
    rows = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    return image_sheet(rows, [""] * len(rows), title="Filters of the first layer (grey is zero)", cell=0.6)


def attention_sheet(images: np.ndarray, seen: np.ndarray, names: Sequence[str], columns: int = 6) -> Figure:
    """Images above the same images under a heat map, `columns` side by side.

    `images` is `(images, channels, size, size)` in [0, 1], `seen` `(images, size, size)` in [0, 1], `names` what the
    network took each for.
    """
    luminance = np.repeat(images.mean(axis=1)[..., None], 3, axis=3)
    heat = colormaps["inferno"](seen)[..., :3]
    blended = (0.35 * luminance + 0.65 * heat).transpose(0, 3, 1, 2)
    title = "Where the network looked (Grad-CAM) for the class that it named"
    rows, row_titles, captions = [], [], []
    for start in range(0, len(names), columns):
        band = slice(start, start + columns)
        rows += [images[band], blended[band]]
        row_titles += ["image", "Grad-CAM"]
        captions += [names[band], [""] * len(names[band])]
    return image_sheet(rows, row_titles, captions, title, cell=1.4)


def heads_sheet(maps: np.ndarray, tokens: Sequence[str]) -> Figure:
    """Attention maps `(layers, heads, steps, steps)`: a row per layer, a column per head; queries down, keys across."""
    layers, heads, steps, _ = maps.shape
    figure = Figure(figsize=(2.6 * heads + 0.6, 2.6 * layers + 0.9), layout="constrained")
    axes = figure.subplots(layers, heads, squeeze=False)
    names = [_visible(token) for token in tokens]
    for layer, head in np.ndindex(layers, heads):
        panel = axes[layer, head]
        panel.imshow(maps[layer, head], cmap="magma", vmin=0, vmax=maps[layer, head].max())
        panel.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=8, color=INK)
        panel.set_xticks(range(steps), names if layer == layers - 1 else [], rotation=90, fontsize=6)
        panel.set_yticks(range(steps), names if head == 0 else [], fontsize=6)
        panel.tick_params(length=0)
    figure.suptitle("What each token (down) looks at (across)", fontsize=11, color=INK)
    return figure


def text_heat(text: str, probabilities: Sequence[float], title: str, columns: int = 88) -> Figure:
    """A passage with each character on the colour of its probability, a value per character."""
    rows: list[list[tuple[str, float]]] = [[]]
    for character, probability in zip(text, probabilities, strict=True):
        rows[-1].append(("↵" if character == "\n" else character, probability))
        if character == "\n" or len(rows[-1]) == columns:
            rows.append([])
    rows = [row for row in rows if row]
    figure = Figure(figsize=(0.115 * columns + 0.6, 0.26 * len(rows) + 1.0), layout="constrained")
    axes = figure.subplots()
    cells = np.full((len(rows), columns), np.nan)
    for i, row in enumerate(rows):
        cells[i, : len(row)] = [probability for _, probability in row]
        for j, (character, _) in enumerate(row):
            shown = r"\$" if character == "$" else character
            axes.text(j, i, shown, ha="center", va="center", fontsize=8, family="monospace", color=INK)
    image = axes.imshow(cells, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto", alpha=0.75)
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, color=INK)
    figure.colorbar(image, ax=axes, label="probability", pad=0.01)
    return figure


def line_figure(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x: str,
    y: str,
    logarithmic: bool = False,
    marks: Sequence[str] = (),
) -> Figure:
    """Named lines `(x values, y values)`; one line alone has no legend. `marks` stand at the points of each line."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, (places, values)) in zip(LINE_COLOURS, lines.items(), strict=False):
        axes.plot(places, values, "o-" if len(places) <= 20 else "-", color=colour, label=name)
        for mark, point in zip(marks, zip(places, values, strict=True), strict=False):
            axes.annotate(mark, point, textcoords="offset points", xytext=(4, 4), fontsize=7, color=INK)
    axes.set(title=title, xlabel=x, ylabel=y)
    if logarithmic:
        axes.set_yscale("log")
    if len(lines) > 1:
        axes.legend(frameon=False)
    _tidy(axes)
    return figure


def paths_figure(paths: Sequence[np.ndarray], names: Sequence[str]) -> Figure:
    """Paths `(steps, 2)` in a plane, coloured by name; a dot ends each."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    colours = dict(zip(dict.fromkeys(names), colormaps["tab20"].colors, strict=False))
    for path, name in zip(paths, names, strict=True):
        colour = colours.get(name, GREY)
        axes.plot(path[:, 0], path[:, 1], "-", color=colour, linewidth=1, alpha=0.8)
        axes.plot(path[-1, 0], path[-1, 1], "o", color=colour)
        axes.annotate(_visible(name), path[-1], textcoords="offset points", xytext=(5, 4), fontsize=8, color=INK)
    axes.set(title="Hidden states from step to step", xlabel="first principal component", ylabel="second")
    _tidy(axes)
    return figure


def bars(names: Sequence[str], values: Sequence[float], title: str, unit: str, highlight: str) -> Figure:
    """Horizontal bars, shortest reading first, the highlighted one in colour."""
    figure = Figure(figsize=(7, 0.45 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    colours = [BLUE if name == highlight else GREY for name in names]
    axes.barh(names, values, color=colours)
    for name, value in zip(names, values, strict=True):
        axes.text(value, name, f" {value:.3f}", va="center", fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.set(title=title, xlabel=unit)
    axes.margins(x=0.12)
    _tidy(axes)
    return figure


def _tidy(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def _visible(name: str, longest: int = 30) -> str:
    """A class or token name with its white space made visible, dollar signs not taken for formulas.

    Of a long one the beginning and the end are left.
    """
    if len(name) > longest:
        ending = (longest - 1) // 2
        name = name[: longest - 1 - ending] + "…" + name[len(name) - ending :]
    shown = name.replace("\n", "↵").replace("\t", "⇥").replace("$", r"\$")
    return shown.replace(" ", "␣") if shown.strip() == "" or shown != shown.strip() else shown
