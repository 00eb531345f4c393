"""Pictures in folders: a sub-folder per class, maybe below a folder per split; captions beside them."""

import re
from collections import Counter
from itertools import accumulate
from pathlib import PurePosixPath

from quartet.artifacts.errors import BadInput, listed
from quartet.datasets.picture_folders.picture_files import Files, OwnPictures, Picture, composed, no_pictures
from quartet.datasets.reading.text_files import read_text
from quartet.datasets.splits import split_name


def read_class_folders(files: Files) -> OwnPictures:
    """The pictures with the labels, splits and captions that their places in the folder give them.

    Raises:
        BadInput: the folder can be read in two ways or in none, a class has no picture, or some pictures have a
            caption beside them and others have not.
    """
    captions = _captions_beside(files)
    splits = split_folders(files, described=bool(captions))
    _refuse_empty_classes(files, 2 if splits else 1)
    pictures = []
    left_out: dict[str, list[str]] = {"link to a folder or to nothing": files.links}
    for name, path in files.pictures.items():
        split, folders = placed(name, splits)
        if folders or captions:
            label = composed(folders[0]) if folders else None
            pictures.append(Picture(path, name, label, split, captions=tuple(map(_one_line, captions.get(name, ())))))
        else:
            left_out.setdefault("not in a class folder", []).append(name)
    texts = {caption_file(name) for name in captions}
    left_out["not a picture"] = [name for name in files.others if name not in texts]
    return OwnPictures(pictures, left_out, [*_spellings(files, splits), *_joined(captions)])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def placed(name: str, splits: dict[str, str]) -> tuple[str | None, list[str]]:
    """The split of a picture, and the folders that it is in below that of its split."""
    *folders, _ = name.split("/")
    return (splits[folders[0]], folders[1:]) if splits and folders else (None, folders)


def split_folders(files: Files, *, described: bool) -> dict[str, str]:
    """The split of each folder at the top, if these are splits; empty if they are classes.

    `described` says that a table or captions describe the pictures, so that splits need no class folders.

    Raises:
        BadInput: the folders may be splits or classes, and nothing tells which.
    """
    directly: set[str] = set()  # folders at the top with pictures of their own
    inside: dict[str, set[str]] = {}  # names of the folders in each
    for name in files.pictures:
        match name.split("/"):
            case [top, _]:
                directly.add(top)
            case [top, sub_folder, *_]:
                inside.setdefault(top, set()).add(sub_folder)
    tops = directly | set(inside)
    splits = {top: split for top in sorted(tops) if (split := split_name(top))}
    if tops and len(splits) == len(tops):
        if described or not directly:
            return splits
        if len(tops) > 1:
            raise BadInput(
                f"{files.folder}: {listed(sorted(directly))} hold pictures, but no folder per class; expected is "
                f"{min(directly)}/CLASS/PICTURE, a table metadata.csv, or a caption beside each picture"
            )
    # A folder with pictures of its own is a class, and what is inside it belongs to it; but no split has any.
    containers = [names for top, names in inside.items() if top not in directly or split_name(top)]
    times = Counter(name for names in containers for name in names)
    repeated = sorted(name for name, count in times.items() if count > 1)
    if not described and repeated and len(times) > 1:
        raise BadInput(
            f"{files.folder}: can be read in two ways: the classes are {listed(sorted(tops))}; or they are "
            f"{listed(repeated)}, which are inside several of these folders. In the first case move the pictures up "
            "into those folders; in the second make one folder per class, or write a table metadata.csv with the "
            "columns file_name and label"
        )
    return {}


def caption_file(name: str) -> str:
    """The name of the caption beside a picture."""
    return PurePosixPath(name).with_suffix(".txt").as_posix()


def _captions_beside(files: Files) -> dict[str, tuple[str, ...]]:
    with_caption = [name for name in files.pictures if caption_file(name) in files.others]
    without = sorted(set(files.pictures) - set(with_caption))
    if with_caption and without:
        raise BadInput(
            f"{files.folder}: {len(without)} of {len(files.pictures)} pictures have no caption beside them, unlike "
            f"{with_caption[0]}: {listed(without)}. Write one for each, or for none"
        )
    captions = {name: _paragraphs(read_text(files.others[caption_file(name)])) for name in with_caption}
    empty = [caption_file(name) for name, said in captions.items() if not said]
    if empty:
        raise BadInput(f"{files.folder}: captions without a word: {listed(empty)}")
    return captions


def _paragraphs(text: str) -> tuple[str, ...]:
    """The captions in a text, each once: those of one picture have an empty line between them."""
    found = (each.strip() for each in re.split(r"\n\s*\n", text.replace("\r\n", "\n")))
    return tuple(dict.fromkeys(each for each in found if each))


def _joined(captions: dict[str, tuple[str, ...]]) -> list[str]:
    """A note on the captions whose lines are read as one."""
    joined = [caption_file(name) for name, said in captions.items() if any("\n" in each for each in said)]
    if not joined:
        return []
    return [
        f"the lines of {listed(joined)} are one caption each; if they are captions of their own, put an empty line "
        "between"
    ]


def _refuse_empty_classes(files: Files, depth: int) -> None:
    """Folders at the classes' depth that hold no picture."""
    holding = {folder for name in files.pictures for folder in accumulate(name.split("/")[:-1], "{}/{}".format)}
    for folder in files.folders:
        if folder.count("/") < depth and folder not in holding:
            inside = [name for name in files.others if name.startswith(f"{folder}/")]
            raise BadInput(f"{files.folder / folder}: {no_pictures(inside)}")


def _spellings(files: Files, splits: dict[str, str]) -> list[str]:
    """A note for each class whose folders are spelled in two ways that look the same."""
    spellings: dict[str, set[str]] = {}
    for name in files.pictures:
        _, folders = placed(name, splits)
        if folders:
            spellings.setdefault(composed(folders[0]), set()).add(folders[0])
    return [
        f"{len(variants)} folders named {label!r}, which differ only in how Unicode writes an accent, are one class"
        for label, variants in spellings.items()
        if len(variants) > 1
    ]
