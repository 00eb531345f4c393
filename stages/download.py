"""Download the raw data: `python -m stages.download images` (or `text`, `sequences`, `weights`).

Writes `data/raw/<item>/` with the original files and `manifest.json`; of `weights`, `data/raw/weights/<family>/` with
what each training starts from. Offline sources take up to 15 s.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quartet.families import BRING_WEIGHTS, FAMILIES, ITEMS, DownloadKey

if TYPE_CHECKING:
    from quartet.settings import Settings

CHECKOUT = "What DVC built before is in its cache: `dvc checkout` brings it back."


def main(
    item: Annotated[DownloadKey, typer.Argument(help="What to download.")],
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
) -> None:
    """Download or copy the raw data of one item from the source in the settings, and verify it."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors(f"download {item.value}", advice=CHECKOUT):
        from quartet.artifacts import paths
        from quartet.artifacts.stage_process import writing_stage
        from quartet.artifacts.writing import atomic_folder
        from quartet.settings import read_settings

        settings = read_settings(params)
        output = paths.raw(item.value)
        with writing_stage(output), atomic_folder(output) as folder:
            if item.value in ITEMS:
                download(item.value, settings, folder)
            else:
                download_weights(settings, folder)


def download(item: str, settings: "Settings", folder: Path) -> None:
    """Bring the raw data of an item."""
    from pkgutil import resolve_name

    from quartet.artifacts import paths
    from quartet.artifacts.verification import write_described

    manifest = resolve_name(ITEMS[item].download)(settings.source(item), settings.fetching, folder)
    write_described(folder / "manifest.json", manifest)
    print(f"{paths.raw(item)}: {manifest['source']} from {manifest['origin']}")
    if unnoticed := settings.unnoticed(item):
        print(unnoticed)


def download_weights(settings: "Settings", folder: Path) -> None:
    """Bring what the training of each family starts from."""
    from pkgutil import resolve_name

    for key, family in FAMILIES.items():
        training = settings.training(key)
        published = resolve_name(family.published_weights) if family.published_weights else None
        resolve_name(BRING_WEIGHTS)(key, training, published, settings.fetching, folder / key)
        print(f"train-{key} starts from {training.starts_from or 'random weights'}")


if __name__ == "__main__":
    typer.run(main)
