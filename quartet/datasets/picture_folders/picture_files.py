"""What lies in a user's folder, and which of it are pictures that can be read."""

import dataclasses
import functools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from quartet.artifacts.errors import BadInput

ENDINGS = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpx", ".jpf", ".avif", ".webp"),
    *(".gif", ".bmp", ".tga", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
}
# Pictures that Pillow does not read by itself.
UNREADABLE = {".heic": "HEIC", ".heif": "HEIC", ".psd": "Photoshop", ".svg": "SVG", ".eps": "EPS", ".pdf": "PDF"}
UNREADABLE |= dict.fromkeys((".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng"), "a camera's raw format")

# Folders that programs make beside pictures, with thumbnails or copies.
SERVICE = {"@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", "lost+found", "System Volume Information"}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture file and what is said of it; None where nothing is.

    `name` is the path below the user's folder, with `/`; `split` is `train`, `validation` or `test`; `attributes` are
    what else is known of what the picture shows, by name, for example a colour; `error` is why there is no such file.
    """

    path: Path
    name: str
    label: str | None = None
    split: str | None = None
    group: str | None = None
    captions: tuple[str, ...] = ()
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    error: str = ""


@dataclasses.dataclass(frozen=True)
class OwnPictures:
    """The pictures of a user, in no particular order.

    Attributes:
        pictures: all that are used.
        left_out: names of other files by the reason why they are not used.
        notes: what else the user should know, a sentence each.
    """

    pictures: list[Picture]
    left_out: dict[str, list[str]]
    notes: list[str]

    @property
    def classes(self) -> list[str]:
        """Sorted names; none if the pictures have captions alone."""
        return sorted({picture.label for picture in self.pictures if picture.label is not None})


@dataclasses.dataclass(frozen=True)
class Files:
    """What lies below a folder, by its name in it: pictures, other files, folders, links that lead to no file."""

    folder: Path
    pictures: dict[str, Path] = dataclasses.field(default_factory=dict)
    others: dict[str, Path] = dataclasses.field(default_factory=dict)
    folders: list[str] = dataclasses.field(default_factory=list)
    links: list[str] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def by_composed_name(self) -> dict[str, str]:
        """The names of all pictures, by their forms in which an accented letter is one character."""
        return {composed(name): name for name in self.pictures}


def list_files(folder: Path) -> Files:
    """All that is below a folder and not hidden, nor in a hidden folder or one of `SERVICE`.

    Raises:
        BadInput: it is no folder, a folder in it cannot be read, or a name is not UTF-8, which the manifest and DVC
            need.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: is not a folder")
    files = Files(folder)
    for where, folders, names in os.walk(folder, onerror=_refuse_unreadable):  # several times as fast as `rglob`
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SERVICE)
        below = os.path.relpath(where, folder)
        for name in (*folders, *sorted(name for name in names if not name.startswith("."))):
            _sort_in(files, name if below == "." else f"{below}/{name}".replace(os.sep, "/"))
    return files


def _refuse_unreadable(error: OSError) -> None:
    raise BadInput(f"{error.filename}: cannot be read: {error.strerror}") from error


def _sort_in(files: Files, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{files.folder}: the name {name!r} is not valid UTF-8; rename it") from error
    path = files.folder / name
    if path.is_file():
        (files.pictures if path.suffix.lower() in ENDINGS else files.others)[name] = path
    elif path.is_symlink():
        files.links.append(name)
    else:
        files.folders.append(name)


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC); an `é` may also be an `e` and an accent, which looks the same."""
    return unicodedata.normalize("NFC", name.strip())


def no_pictures(files: Iterable[str]) -> str:
    """Why none of some files can be used, for a message."""
    endings = Counter(Path(name).suffix or "no ending" for name in files)
    if not endings:
        return "no picture in it; add some or remove the folder"
    found = ", ".join(f"{count} × {ending}" for ending, count in endings.most_common())
    return f"no picture in it that can be read; it holds {found}. {how_to_convert(endings)}"


def how_to_convert(endings: Iterable[str]) -> str:
    """Which endings are read, and the command that makes such files of others."""
    unreadable = sorted(ending for ending in endings if ending.lower() in UNREADABLE)
    readable = f"Pictures that can be read end in {', '.join(sorted(ENDINGS))}"
    if not unreadable:
        return readable
    ending, kind = unreadable[0], UNREADABLE[unreadable[0].lower()]
    return f"Convert {kind} to JPEG, for example with `magick mogrify -format jpg *{ending}`. {readable}"
