"""Pictures with a table that says what each shows: `metadata.csv`, `.jsonl` or `.parquet`, as `imagefolder` has it.

Columns: `file_name`, the path of a picture from the table's folder, with `/`; and `label`, `text` or `caption`,
`split`, `group`, as far as they are known. Columns such as `attribute_colour` say what else a picture shows. A picture
with several captions has a row for each, as in the tables of captioned photographs, or a list of them in its cell.
"""

import dataclasses
import os
from collections.abc import Callable
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


def read_tables_in(files: Files, tables: list[str], *, described: bool = True) -> OwnPictures:
    """The pictures of a folder as its tables describe them; what they do not say, the folders' names may.

    `described` says that each picture needs a label or a caption, and that no cell of these may be empty.

    Raises:
        BadInput: a table cannot be read, or rows are wrong: the message gives their numbers.
    """
    splits = split_folders(files, described=True) if described else None
    by_name = {composed(name): name for name in files.pictures}
    pictures: list[Picture] = []
    notes: list[str] = []
    for table in tables:
        folder = Path(table).parent

        def find(given: str, folder: Path = folder) -> tuple[str, Path] | None:
            name = by_name.get(composed(os.path.normpath(folder / given)))
            return (name, files.pictures[name]) if name else None

        read = read_table(files.folder / table)
        pictures += _read_rows(read, find, splits, described)
        notes += _unused(read, table) if described else []
    rowless = sorted(set(files.pictures) - {picture.name for picture in pictures})
    left_out = {
        f"no row in {' or '.join(tables)}": rowless,
        "link to a folder or to nothing": files.links,
        "not a picture": [name for name in files.others if name not in tables],
    }
    return OwnPictures(pictures, left_out, notes)


def read_table_elsewhere(path: Path, *, described: bool = True) -> OwnPictures:
    """The pictures that a table names, which may lie anywhere.

    Raises:
        BadInput: as `read_tables_in`.
    """

    def find(given: str) -> tuple[str, Path] | None:
        found = Path(os.path.normpath(path.parent.absolute() / given))
        return (str(found), found) if found.is_file() else None

    table = read_table(path)
    pictures = _read_rows(table, find, None, described)
    top = os.path.commonpath([picture.path.parent for picture in pictures])
    named = [dataclasses.replace(picture, name=picture.path.relative_to(top).as_posix()) for picture in pictures]
    return OwnPictures(named, {}, _unused(table, path.name) if described else [])


def _unused(table: Table, name: str) -> list[str]:
    """A note on the columns that are not read.

    Raises:
        BadInput: one of them differs from one that is read only in capitals or spaces.
    """
    table.refuse_near(ROLES)
    unused = [column for column in table.columns if column not in ROLES and not column.startswith(ATTRIBUTE)]
    return [f"{name}: columns that are not used: {listed(unused)}"] if unused else []


def _read_rows(
    table: Table, find: Callable[[str], tuple[str, Path] | None], splits: dict[str, str] | None, described: bool
) -> list[Picture]:
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
        if not described:  # what is not known is empty, and splits do not matter
            row = {name: cell for name, cell in row.items() if name == FILE_NAME or (cell and name != SPLIT)}
            said = [caption for caption in said or () if caption] or None
        try:
            name, path = _found(row[FILE_NAME], find)
            picture = _described(name, path, row, said, splits)
            if name in rows:
                picture = _with_captions_of(pictures[name], picture, f"{row[FILE_NAME]} is in row {rows[name]} already")
            rows.setdefault(name, number)
            pictures[name] = picture
            if described and picture.label is None and not picture.captions:
                raise BadInput(
                    f"nothing says what {name} shows: there is no column label, text or caption, and no class folder"
                )
        except BadInput as error:
            problems.append(f"row {number}: {error}")
    if problems:
        raise BadInput(f"{table.path}: {listed(problems, '; ')}")
    return list(pictures.values())


def _found(given: str, find: Callable[[str], tuple[str, Path] | None]) -> tuple[str, Path]:
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
