"""Bring the raw data: `python -m stages.download images` (or `text`, `sequences`).

Writes `data/raw/<item>/` with the files as they came and `manifest.json`. Offline sources take up to 15 s.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Item(StrEnum):
    images = "images"
    text = "text"
    sequences = "sequences"


def main(
    item: Annotated[Item, typer.Argument(help="What to bring.")],
    params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml"),
) -> None:
    """Bring the raw data of one item from the source that the settings name, verified."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors(f"download {item.value}"):
        from quartet.artifacts import paths
        from quartet.artifacts.writing import atomic_folder, write_json
        from quartet.params import read_params
        from quartet.training.interruption import end_with_parent

        end_with_parent()
        settings = read_params(params).download
        with atomic_folder(paths.raw(item.value)) as folder:
            if item is Item.images:
                from quartet.datasets.image_sources import download_images

                manifest = download_images(settings, folder)
            elif item is Item.text:
                from quartet.datasets.text_sources import download_text

                manifest = download_text(settings, folder)
            else:
                from quartet.datasets.sequence_sources import download_sequences

                manifest = download_sequences(settings, folder)
            write_json(folder / "manifest.json", manifest)
        print(f"{paths.raw(item.value)}: {manifest['source']} from {manifest['origin']}")


if __name__ == "__main__":
    typer.run(main)
