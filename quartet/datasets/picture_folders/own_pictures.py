"""A user's own pictures: found in a folder or a table, checked, and copied with an index of what is said of each.

The layouts are torchvision's (`CLASS/PICTURE`, or `train/CLASS/PICTURE` and so on) and Hugging Face's `imagefolder`
(a table `metadata.csv` beside the pictures).
"""

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd

from quartet.artifacts.checksums import sha256
from quartet.artifacts.errors import BadInput, listed
from quartet.artifacts.paths import ATTRIBUTE, PICTURE_INDEX, PICTURES
from quartet.artifacts.writing import write_table
from quartet.datasets.picture_folders.class_folders import read_class_folders
from quartet.datasets.picture_folders.picture_files import (
    Files,
    OwnPictures,
    Picture,
    composed,
    list_files,
    no_pictures,
)
from quartet.datasets.picture_folders.picture_tables import (
    read_table_elsewhere,
    read_tables_in,
    rows_to_classify_elsewhere,
    rows_to_classify_in,
    tables_in,
)


def find_own_pictures(kind: str, path: Path) -> OwnPictures:
    """The pictures of `folder:PATH` or `table:PATH`.

    Raises:
        BadInput: nothing says what the pictures show, or it says it in two ways; a file or a row is wrong.
    """
    if kind == "table":
        found = read_table_elsewhere(path)
    else:
        files = list_files(path)
        tables = tables_in(files)
        found = read_tables_in(files, tables) if tables else read_class_folders(files)
        _refuse_unusable(files, found)
    labels = [picture.label for picture in found.pictures]
    if None in labels and found.classes:
        unlabelled = sorted(picture.name for picture in found.pictures if picture.label is None)
        raise BadInput(f"{path}: {len(unlabelled)} pictures have no class, unlike the others: {listed(unlabelled)}")
    if len(found.classes) < 2 and not all(picture.captions for picture in found.pictures):
        raise BadInput(f"{path}: all pictures are of the class {found.classes[0]!r}; a classifier needs at least two")
    having = Counter(name for picture in found.pictures for name in picture.attributes)
    if having and not any(picture.captions for picture in found.pictures):
        found.notes.append(f"columns {ATTRIBUTE}… are not used, since there are no captions")
    elif lacking := sorted(name for name, count in having.items() if count < len(found.pictures)):
        columns = listed([f"{ATTRIBUTE}{name}" for name in lacking])
        raise BadInput(f"{path}: only some of its tables have {columns}; give all of them the same columns")
    return found


def find_pictures_to_classify(path: Path, classes: Collection[str]) -> OwnPictures:
    """The pictures of a folder, sorted, or of a table, in its order; with labels where these are known.

    In a folder without a table, the label is the name of the innermost folder that is named as one of `classes`.

    Raises:
        BadInput: there is no picture, or the table is wrong.
    """
    if not path.is_dir():
        return rows_to_classify_elsewhere(path)
    files = list_files(path)
    if not files.pictures:
        raise BadInput(f"{path}: {no_pictures(files.others)}")
    tables = tables_in(files)
    if tables:
        return rows_to_classify_in(files, tables)
    pictures = []
    for name, file in sorted(files.pictures.items()):
        folders = [composed(folder) for folder in reversed(name.split("/")[:-1])]
        label = next((folder for folder in folders if folder in classes), None)
        pictures.append(Picture(file, name, label))
    left_out = {"not a picture": list(files.others), "link to a folder or to nothing": files.links}
    return OwnPictures(pictures, left_out, [])


def _refuse_unusable(files: Files, found: OwnPictures) -> None:
    """Say what is missing where no picture is used, or what was meant where one class folder holds them all."""
    if not files.pictures:
        raise BadInput(f"{files.folder}: {no_pictures(files.others)}")
    if not found.pictures:
        raise BadInput(
            f"{files.folder}: holds pictures but no class folder; a classifier needs at least two sub-folders of "
            "pictures, one per class, or a table metadata.csv, or a caption beside each picture"
        )
    inside = {name.split("/")[1] for name in files.pictures if name.count("/") > 1}
    tops = {name.split("/")[0] for name in files.pictures}
    if len(tops) == 1 and len(found.classes) == 1 and len(inside) > 1:
        below = files.folder / tops.pop()
        raise BadInput(
            f"{files.folder}: holds one folder, {below.name}; if that holds the classes, give folder:{below}"
        )


def copy_own_pictures(found: OwnPictures, source: Path, folder: Path) -> dict:
    """Copy the pictures into one archive and write their index; returns their entries in the manifest.

    DVC would take minutes to copy, check and link many small files.

    The index is sorted by class and content: the same pictures give the same data in whatever form they are described.

    Raises:
        BadInput: a file cannot be read.
    """
    with zipfile.ZipFile(folder / PICTURES, "w") as archive:

        def copied(picture: Picture) -> bytes:
            content = read_picture(picture)
            archive.writestr(zipfile.ZipInfo(picture.name), content)
            return content

        rows = index_of(found, copied)
    write_table(folder / PICTURE_INDEX, pd.DataFrame(rows))
    return {
        "origin": source.name,
        "licence": "the user's own",
        "classes": found.classes,
        "caption_subject": "pictured",
        "left_out": {reason: names for reason, names in found.left_out.items() if names},
        "notes": found.notes,
        "checksums": {name: sha256(folder / name) for name in (PICTURE_INDEX, PICTURES)},
        "counts": {"files": len(rows), "bytes": sum(picture.path.stat().st_size for picture in found.pictures)},
    }


def index_of(found: OwnPictures, read: Callable[[Picture], bytes]) -> list[dict[str, str | None]]:
    """What is said of each picture, sorted, its captions a line each; `read` returns the content of one."""
    rows = []
    for picture in found.pictures:
        said = {"label": picture.label, "split": picture.split, "group": picture.group}
        said["caption"] = "\n".join(picture.captions) or None
        said |= {f"{ATTRIBUTE}{name}": value for name, value in picture.attributes.items()}
        rows.append({"file": picture.name, "sha256": hashlib.sha256(read(picture)).hexdigest(), **said})
    return sorted(rows, key=lambda row: (row["label"] or "", row["sha256"], row["file"]))


def read_picture(picture: Picture) -> bytes:
    """The content of a picture's file.

    Raises:
        BadInput: the file is not there or cannot be read.
    """
    if picture.error:
        raise BadInput(picture.error)
    try:
        return picture.path.read_bytes()
    except OSError as error:
        raise BadInput(f"{picture.path}: cannot be read: {error.strerror}") from error


def print_what_is_left_out(found: OwnPictures, source: Path) -> None:
    """A line for each reason why files are not used, and for each note."""
    for reason, names in found.left_out.items():
        if names:
            print(f"{source}: ignored ({reason}): {listed(names)}", flush=True)
    for note in found.notes:
        print(f"{source}: {note}", flush=True)
