"""Figures of text: the probability of each character, attention maps and alignments."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from quartet.reporting.drawing.figures import INK, printable
from quartet.reporting.drawing.fonts import in_one_cell


def heads_sheet(maps: np.ndarray, tokens: Sequence[str]) -> Figure:
    """Attention maps `(layers, heads, steps, steps)`: a row per layer, a column per head; queries down, keys across."""
    layers, heads, steps, _ = maps.shape
    figure = Figure(figsize=(2.6 * heads + 0.6, 2.6 * layers + 0.9), layout="constrained")
    axes = figure.subplots(layers, heads, squeeze=False)
    names = [printable(token) for token in tokens]
    for (layer, head), panel in np.ndenumerate(axes):
        panel.imshow(maps[layer, head], cmap="magma", vmin=0, vmax=maps[layer, head].max())
        panel.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=8, color=INK)
        panel.set_xticks(range(steps), names if layer == layers - 1 else [], rotation=90, fontsize=6)
        panel.set_yticks(range(steps), names if head == 0 else [], fontsize=6)
        panel.tick_params(length=0)
    figure.suptitle("Attention of each token (down) to each token (across)", fontsize=11, color=INK)
    return figure


def alignment_sheet(sentences: Sequence[tuple[np.ndarray, Sequence[str], Sequence[str]]]) -> Figure:
    """Cross-attention as alignments: a row per sentence, a column per layer.

    `sentences` has for each the weights `(layers, written, read)`, the tokens read (across), and those written (down),
    each beside what was attended to in order to write it.
    """
    layers = len(sentences[0][0])
    heights = [0.16 * len(down) + 1.1 for _, _, down in sentences]
    width = max(0.16 * len(across) for _, across, _ in sentences) + 1.1
    figure = Figure(figsize=(width * layers, sum(heights) + 0.5), layout="constrained")
    axes = figure.subplots(len(sentences), layers, squeeze=False, height_ratios=heights)
    for (row, layer), panel in np.ndenumerate(axes):
        weights, across, down = sentences[row]
        panel.imshow(weights[layer], cmap="Blues", vmin=0, vmax=1, aspect="auto")
        panel.set_xticks(range(len(across)), [printable(token) for token in across], rotation=90, fontsize=7)
        panel.set_yticks(range(len(down)), [printable(token) for token in down] if layer == 0 else [], fontsize=7)
        panel.tick_params(length=0)
        if row == 0:
            panel.set_title(f"layer {layer + 1}", fontsize=9, color=INK)
    figure.suptitle("What each written token (down) attends to in the source (across)", fontsize=11, color=INK)
    return figure


def text_heat(text: str, probabilities: Sequence[float], title: str, columns: int = 88) -> Figure:
    """A passage in which each character's background colour shows its probability."""
    rows: list[list[tuple[str, float]]] = [[]]
    for character, probability in zip(text, probabilities, strict=True):
        rows[-1].append(({"\n": "↵", "\t": "⇥"}.get(character, character), probability))
        if character == "\n" or len(rows[-1]) == columns:
            rows.append([])
    rows = [row for row in rows if row]
    figure = Figure(figsize=(0.115 * columns + 0.6, 0.26 * len(rows) + 1.0), layout="constrained")
    axes = figure.subplots()
    cells = np.full((len(rows), columns), np.nan)
    for i, row in enumerate(rows):
        cells[i, : len(row)] = [probability for _, probability in row]
        for j, (character, _) in enumerate(row):
            shown, fonts = in_one_cell(character)
            size = 8 if len(shown) == 1 else 4
            shown = shown.replace("$", r"\$")
            axes.text(j, i, shown, ha="center", va="center", fontsize=size, family=fonts, color=INK)
    image = axes.imshow(cells, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto", alpha=0.75)
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, color=INK)
    figure.colorbar(image, ax=axes, label="probability", pad=0.01)
    return figure
