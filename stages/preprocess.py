"""Turn raw data into what training reads: `python -m stages.preprocess images` (or `text`, `sequences`).

Writes `data/processed/<item>/`. Each takes a few seconds on the embedded data.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy


class Item(StrEnum):
    images = "images"
    text = "text"
    sequences = "sequences"


def main(
    item: Annotated[Item, typer.Argument(help="What to prepare.")],
    params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml"),
) -> None:
    """Check, convert and split the raw data of one item."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors(f"preprocess {item.value}"):
        from quartet.artifacts import paths
        from quartet.artifacts.writing import atomic_folder
        from quartet.params import read_params
        from quartet.training.interruption import end_with_parent

        end_with_parent()
        settings = read_params(params).preprocess
        raw = paths.raw(item.value)
        with atomic_folder(paths.processed(item.value)) as folder:
            if item is Item.images:
                from quartet.datasets.images import preprocess_images

                info, originals, squares = preprocess_images(raw, folder, settings.images)
                _preview(folder, info, originals, squares, settings.images.split_seed)
            elif item is Item.text:
                from quartet.datasets.text import preprocess_text

                info = preprocess_text(raw, folder, settings.text)
            else:
                from quartet.datasets.sequence_preparation import preprocess_sequences

                info = preprocess_sequences(raw, paths.processed("images"), folder, settings.sequences)
        print(f"{paths.processed(item.value)}: {info['source']}, {info['counts']}")


def _preview(folder: Path, info: dict, originals: "list[numpy.ndarray]", squares: "numpy.ndarray", seed: int) -> None:
    """A picture of raw, preprocessed and (with the default ranges) augmented training images.

    `originals` are `(height, width[, 3])`, `squares` are `(images, channels, size, size)`, all uint8.
    """
    import numpy as np
    import torch

    from quartet.datasets.augment import augment
    from quartet.params.sections import Augmentation
    from quartet.reporting.figures import image_sheet, save_figure

    raw = [np.atleast_3d(pixels).transpose(2, 0, 1) / 255 for pixels in originals]
    squares = squares / 255
    generator = torch.Generator().manual_seed(seed)
    rows, titles = [raw, squares], ["raw", "preprocessed"]
    for _ in range(3):
        rows.append(augment(torch.from_numpy(squares).float(), Augmentation(), generator).numpy())
        titles.append("augmented")
    save_figure(image_sheet(rows, titles, title=f"Training images of {info['source']}"), folder / "preview.png")


if __name__ == "__main__":
    typer.run(main)
