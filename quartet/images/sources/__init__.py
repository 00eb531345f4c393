"""Where images come from: a well-known dataset, or a user's own pictures."""

from pathlib import Path

from quartet.artifacts.checksums import sha256
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.paths import user_path
from quartet.images.sources.glyphs import GLYPHS, draw_glyphs
from quartet.images.sources.official import SOURCES


def download_images(source: str, fetching: Fetching, folder: Path) -> dict:
    """Download or copy the images that the setting `download.images` names into `folder`; returns their manifest.

    Raises:
        FetchError: a file cannot be downloaded or is wrong.
        ValueError: a user's pictures cannot be used; the message says which and why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if source in SOURCES:
        return {"source": source, **_download_known(source, fetching, folder)}
    if source == GLYPHS:
        return {"source": source, **draw_glyphs(folder)}
    # Reads tables with pandas, which takes a while to import.
    from quartet.datasets.picture_folders.own_pictures import (
        copy_own_pictures,
        find_own_pictures,
        print_what_is_left_out,
    )

    kind, _, path = source.partition(":")
    found = find_own_pictures(kind, user_path(path))
    print_what_is_left_out(found, user_path(path))
    return {"source": source, **copy_own_pictures(found, user_path(path), folder)}


def _download_known(source: str, fetching: Fetching, folder: Path) -> dict:
    known = SOURCES[source]
    known.download(fetching, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "origin": known.origin,
        "licence": known.licence,
        "classes": known.classes,
        "caption_subject": known.subject,
        "checksums": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
        "counts": {"files": len(files), "bytes": sum(path.stat().st_size for path in files)},
    }
