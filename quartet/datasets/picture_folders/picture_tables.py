"""Pictures with a table that says what each shows: `metadata.csv`, `.jsonl` or `.parquet`, as `imagefolder` has it.

Columns: `file_name`, the path of a picture from the table's folder, with `/`; and `label`, `text` or `caption`,
`split`, `group`, as far as they are known. Columns such as `attribute_colour` say what else a picture shows. A picture
with several captions has a row for each, as in the tables of captioned photographs, or a list of them in its cell.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from quartet.artifacts.errors import BadInput, listed
from quartet.artifacts.paths import ATTRIBUTE
from quartet.datasets.picture_folders.class_folders import placed, split_folders
from quartet.datasets.picture_folders.picture_files import (
    ENDINGS,
    Files,
    OwnPictures,
    Picture,
    composed,
    how_to_convert,
)
from quartet.datasets.reading.tables import Table, read_table
from quartet.datasets.splits import split_name

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME, LABEL, SPLIT, GROUP, CAPTIONS = "file_name", "label", "split", "group", ("text", "caption")
Find = Callable[[str], tuple[str, Path] | None]  # from a path in a table to the name and the file of a picture
ROLES = (FILE_NAME, LABEL, SPLIT, GROUP, *CAPTIONS)


def tables_in(files: Files) -> list[str]:
    """The tables at the top of a folder or in the folders at its top.

    Raises:
        BadInput: two tables are in one folder.
    """
    found = sorted(name for name in files.others if name.count("/") < 2 and Path(name).name.lower() in NAMES)
    folders = [Path(name).parent for name in found]
    for name, folder in zip(found, folders, strict=True):
        if folders.count(folder) > 1 or (len(found) > 1 and Path() in folders):
            raise BadInput(f"{files.folder}: several tables, {listed(found)}; keep the one that counts ({name}?)")
    return found


def read_tables_in(files: Files, tables: list[str]) -> OwnPictures:
    """The pictures of a folder as its tables describe them; what they do not say, the folders' names may.

    Raises:
        BadInput: a table cannot be read, or rows are wrong: the message gives their numbers.
    """
    splits = split_folders(files, described=True)
    pictures: list[Picture] = []
    notes: list[str] = []
    for table in tables:
        read = read_table(files.folder / table)
        pictures += _read_rows(read, functools.partial(_file_below, files, Path(table).parent), splits)
        notes += _unused(read, table)
    return OwnPictures(pictures, _left_out(files, tables, pictures), notes)


def read_table_elsewhere(path: Path) -> OwnPictures:
    """The pictures that a table names, which may lie anywhere.

    Raises:
        BadInput: as `read_tables_in`.
    """
    table = read_table(path)
    pictures = _read_rows(table, functools.partial(_file_beside, path), None)
    top = os.path.commonpath([picture.path.parent for picture in pictures])
    named = [dataclasses.replace(picture, name=picture.path.relative_to(top).as_posix()) for picture in pictures]
    return OwnPictures(named, {}, _unused(table, path.name))


def rows_to_classify_in(files: Files, tables: list[str]) -> OwnPictures:
    """A picture for each row of the tables in a folder, as `rows_to_classify_elsewhere` has them.

    Raises:
        BadInput: a table cannot be read, or has no column `file_name`.
    """
    pictures: list[Picture] = []
    for table in tables:
        folder = Path(table).parent
        rows = _to_classify(read_table(files.folder / table), functools.partial(_file_below, files, folder))
        pictures += [dataclasses.replace(row, name=(folder / row.name).as_posix() if row.name else "") for row in rows]
    return OwnPictures(pictures, _left_out(files, tables, pictures), [])


def rows_to_classify_elsewhere(path: Path) -> OwnPictures:
    """A picture for each row of a table, in its order, by the name that it has there, with its label if it says one.

    A picture that is not there has an `error`.

    Raises:
        BadInput: the table cannot be read, or has no column `file_name`.
    """
    return OwnPictures(list(_to_classify(read_table(path), functools.partial(_file_beside, path))), {}, [])


def _to_classify(table: Table, find: Find) -> Iterator[Picture]:
    table.require(FILE_NAME)
    table.refuse_near((FILE_NAME, LABEL))
    labels = table.text(LABEL) if LABEL in table.data else [""] * len(table.data)
    for given, label in zip(table.text(FILE_NAME), labels, strict=True):
        try:
            (_, place), error = _found(given, find), ""
        except BadInput as absent:
            place, error = Path(given), str(absent)
        yield Picture(place, given, composed(label) or None, error=error)


def _file_below(files: Files, folder: Path, given: str) -> tuple[str, Path] | None:
    """The name and the file of a picture that a table in a `folder` of `files` names, if there is one."""
    name = files.by_composed_name.get(composed(os.path.normpath(folder / given)))
    return (name, files.pictures[name]) if name else None


def _file_beside(table: Path, given: str) -> tuple[str, Path] | None:
    """The file that a table names by its path from the table's folder, if there is one."""
    found = Path(os.path.normpath(table.parent.absolute() / given))
    return (str(found), found) if found.is_file() else None


def _left_out(files: Files, tables: list[str], pictures: list[Picture]) -> dict[str, list[str]]:
    used = {picture.path for picture in pictures}
    return {
        f"no row in {' or '.join(tables)}": sorted(name for name, path in files.pictures.items() if path not in used),
        "link to a folder or to nothing": files.links,
        "not a picture": [name for name in files.others if name not in tables],
    }


def _unused(table: Table, name: str) -> list[str]:
    """A note on the columns that are not read.

    Raises:
        BadInput: one of them differs from one that is read only in capitals or spaces.
    """
    table.refuse_near(ROLES)
    unused = [column for column in table.columns if column not in ROLES and not column.startswith(ATTRIBUTE)]
    return [f"{name}: columns that are not used: {listed(unused)}"] if unused else []


def _read_rows(table: Table, find: Find, splits: dict[str, str] | None) -> list[Picture]:
    """A picture per row.

    What the table has no column for is taken from the names of the picture's folders, unless `splits` is None.
    """
    table.require(FILE_NAME)
    numbers = table.row_numbers()
    caption_columns = [name for name in CAPTIONS if name in table.data]
    if len(caption_columns) > 1:
        raise BadInput(f"{table.path}: has both columns {listed(caption_columns)}; keep one")
    attributes = [name for name in map(str, table.data) if name.startswith(ATTRIBUTE)]
    columns = [FILE_NAME, *(name for name in (LABEL, SPLIT, GROUP) if name in table.data), *attributes]
    cells = {name: table.text(name).tolist() for name in columns}
    captions = table.texts(caption_columns[0]) if caption_columns else None
    pictures: dict[str, Picture] = {}
    rows: dict[str, int] = {}
    problems: list[str] = []
    for index, number in enumerate(numbers):
        row = {name: values[index] for name, values in cells.items()}
        said = captions[index] if captions else None
        try:
            name, path = _found(row[FILE_NAME], find)
            picture = _described(name, path, row, said, splits)
            if name in rows:
                picture = _with_captions_of(pictures[name], picture, f"{row[FILE_NAME]} is in row {rows[name]} already")
            rows.setdefault(name, number)
            pictures[name] = picture
            if picture.label is None and not picture.captions:
                raise BadInput(
                    f"nothing says what {name} shows: there is no column label, text or caption, and no class folder"
                )
        except BadInput as error:
            problems.append(f"row {number}: {error}")
    if problems:
        raise BadInput(f"{table.path}: {listed(problems, '; ')}")
    return list(pictures.values())


def _found(given: str, find: Find) -> tuple[str, Path]:
    if not given:
        raise BadInput(f"{FILE_NAME} is empty")
    found = find(given)
    if found is None and "\\" in given:
        raise BadInput(f"{given} does not exist; separate folders by /")
    if Path(given).suffix.lower() not in ENDINGS:
        raise BadInput(f"{given} is no picture that can be read. {how_to_convert([Path(given).suffix])}")
    if found is None:
        raise BadInput(f"{given} does not exist")
    return found


def _described(
    name: str, path: Path, row: dict[str, str], captions: list[str] | None, splits: dict[str, str] | None
) -> Picture:
    split, folders = (None, []) if splits is None else placed(name, splits)
    label = composed(row[LABEL]) if LABEL in row else composed(folders[0]) if folders else None
    if label == "":
        raise BadInput("label is empty")
    if captions is not None and not (captions and all(captions)):
        raise BadInput("the caption is empty")
    if SPLIT in row:
        split = split_name(row[SPLIT])
        if split is None:
            raise BadInput(f"split {row[SPLIT]!r} is none of train, validation, test")
    attributes = {name.removeprefix(ATTRIBUTE): row[name] for name in row if name.startswith(ATTRIBUTE)}
    empty = [name for name, value in attributes.items() if not value]
    if empty:
        raise BadInput(f"{ATTRIBUTE}{empty[0]} is empty")
    said = tuple(dict.fromkeys(" ".join(caption.split()) for caption in captions or ()))
    return Picture(path, name, label, split, row.get(GROUP) or None, said, attributes)


def _with_captions_of(first: Picture, again: Picture, message: str) -> Picture:
    """A picture with the captions of two rows, which must say the same of it otherwise."""
    if not (first.captions and again.captions):
        raise BadInput(message)
    if dataclasses.replace(first, captions=again.captions) != again:
        raise BadInput(f"{message}, with another label, split, group or attribute")
    return dataclasses.replace(first, captions=tuple(dict.fromkeys((*first.captions, *again.captions))))
