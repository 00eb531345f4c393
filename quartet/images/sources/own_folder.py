"""Copy a user's pictures: a folder with one sub-folder of pictures per class."""

import shutil
from collections.abc import Iterable
from pathlib import Path

PICTURES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpx", ".jpf", ".avif", ".webp"),
    *(".gif", ".bmp", ".tga", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
}


def copy_own_folder(source: Path, folder: Path) -> dict:
    """Copy the pictures into `folder/pictures`; returns their entries in the manifest.

    Raises:
        ValueError: there is not one sub-folder of pictures per class, or a name is not UTF-8.
    """
    if not source.is_dir():
        raise ValueError(f"download.images: {source} is not a folder; expected one sub-folder of pictures per class")
    top = _not_hidden(source.iterdir(), source)
    classes, others, links = [], [], []
    loose = [path.name for path in top if not path.is_dir()]
    for sub_folder in (path for path in top if path.is_dir()):
        entries = _not_hidden(sub_folder.rglob("*"), source)
        files = [path for path in entries if path.is_file()]
        links += [p.relative_to(source).as_posix() for p in entries if p.is_symlink() and not p.is_file()]
        pictures = [path for path in files if path.suffix.lower() in PICTURES]
        others += [path.relative_to(source).as_posix() for path in files if path.suffix.lower() not in PICTURES]
        if not pictures:
            raise ValueError(f"{sub_folder}: no picture in this class folder; add some or remove the folder")
        for path in pictures:
            target = folder / "pictures" / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        classes.append(sub_folder.name)
    if len(classes) < 2:
        raise ValueError(
            f"{source}: {len(classes)} class folder{'' if len(classes) == 1 else 's'}; "
            "a classifier needs at least two, one sub-folder of pictures per class"
        )
    reasons = ((others, "not a picture"), (links, "link to a folder or to nothing"), (loose, "not in a class folder"))
    for left_out, why in reasons:
        if left_out:
            print(f"{source}: ignored ({why}): {left_out[0]} ({len(left_out)} in all)", flush=True)
    return {
        "origin": source.name,
        "licence": "the user's own",
        "classes": classes,
        "caption_subject": "pictured",
        "left_out": others + links + loose,
    }


def _not_hidden(paths: Iterable[Path], source: Path) -> list[Path]:
    """The paths that are neither hidden nor in a hidden folder, sorted.

    Raises:
        ValueError: a name is not UTF-8, which the manifest and DVC need.
    """
    visible = sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(source).parts))
    for path in visible:
        try:
            str(path.relative_to(source)).encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{source}: the name {path.relative_to(source).as_posix()!r} is not valid UTF-8; rename it"
            ) from error
    return visible
