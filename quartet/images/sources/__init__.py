"""Where images come from: a well-known dataset, or a user's folder."""

from pathlib import Path

from quartet.artifacts.checksums import sha256
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.paths import user_path
from quartet.images.sources.official import SOURCES
from quartet.images.sources.own_folder import copy_own_folder


def download_images(source: str, fetching: Fetching, folder: Path) -> dict:
    """Download or copy the images that the setting `download.images` names into `folder`; returns their manifest.

    Raises:
        FetchError: a file cannot be downloaded or is wrong.
        ValueError: a user's folder does not hold one sub-folder of pictures per class, or a name is not UTF-8.
    """
    if source.startswith("folder:"):
        about = copy_own_folder(user_path(source.removeprefix("folder:")), folder)
    else:
        known = SOURCES[source]
        folder.mkdir(parents=True, exist_ok=True)
        known.download(fetching, folder)
        about = {
            "origin": known.origin,
            "licence": known.licence,
            "classes": known.classes,
            "caption_subject": known.subject,
        }
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    checksums = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    counts = {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}
    return {"source": source, **about, "checksums": checksums, "counts": counts}
