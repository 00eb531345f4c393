"""Download the raw data: `python -m stages.download images` (or `text`, `sequences`).

Writes `data/raw/<item>/` with the original files and `manifest.json`. Offline sources take up to 15 s.
"""

from pathlib import Path
from typing import Annotated

import typer

from quartet.families import ITEMS, ItemKey

CHECKOUT = "What DVC built before is in its cache: `dvc checkout` brings it back."


def main(
    item: Annotated[ItemKey, typer.Argument(help="What to download.")],
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
) -> None:
    """Download or copy the raw data of one item from the source in the settings, and verify it."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors(f"download {item.value}", advice=CHECKOUT):
        from pkgutil import resolve_name

        from quartet.artifacts import paths
        from quartet.artifacts.stop_requests import end_with_parent
        from quartet.artifacts.writing import atomic_folder, write_json
        from quartet.settings import read_settings

        end_with_parent()
        settings = read_settings(params)
        with atomic_folder(paths.raw(item.value)) as folder:
            download = resolve_name(ITEMS[item.value].download)
            manifest = download(settings.source(item.value), settings.fetching, folder)
            write_json(folder / "manifest.json", manifest)
        print(f"{paths.raw(item.value)}: {manifest['source']} from {manifest['origin']}")


if __name__ == "__main__":
    typer.run(main)
