"""Prepare raw data for training: `python -m stages.preprocess images` (or `text`, `sequences`).

Writes `data/processed/<item>/`. Takes a few seconds for the default data.
"""

from pathlib import Path
from typing import Annotated

import typer

from quartet.families import ITEMS, ItemKey

CHECKOUT = "What DVC built before is in its cache: `dvc checkout` brings it back."


def main(
    item: Annotated[ItemKey, typer.Argument(help="What to prepare.")],
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
) -> None:
    """Check, convert and split the raw data of one item."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors(f"preprocess {item.value}", advice=CHECKOUT):
        from pkgutil import resolve_name

        from quartet.artifacts import paths
        from quartet.artifacts.stage_process import writing_stage
        from quartet.artifacts.writing import atomic_folder
        from quartet.settings import read_settings

        settings = read_settings(params).preparation(item.value)
        output = paths.processed(item.value)
        with writing_stage(output), atomic_folder(output) as folder:
            info = resolve_name(ITEMS[item.value].prepare)(paths.raw(item.value), folder, settings)
        print(f"{paths.processed(item.value)}: {info['source']}, {info['counts']}")


if __name__ == "__main__":
    typer.run(main)
