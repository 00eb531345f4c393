"""A look at a user's pictures before they are downloaded and prepared."""

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np

from quartet.artifacts.errors import BadInput
from quartet.artifacts.paths import user_path
from quartet.datasets.inspection import Inspection, counts_by_class
from quartet.datasets.picture_folders.own_pictures import find_own_pictures, index_of, read_picture
from quartet.datasets.picture_folders.picture_files import OwnPictures, Picture
from quartet.images.preparation import refuse_broken, size_of_all, split_images
from quartet.images.preparation.decoding import decode, read_header, zeros
from quartet.images.preparation.reading import RawImage, raw_image
from quartet.images.settings import PreprocessImages

# Up to so many pictures and bytes each picture is decoded, which takes a few seconds.
DECODED, DECODED_BYTES = 10_000, 2**26


def inspect_images(source: str, settings: PreprocessImages) -> Inspection:
    """What the pipeline would read from a user's `source`, a value of `download.images`; writes nothing.

    Raises:
        BadInput: the pictures cannot be used; the message says which and why.
    """
    kind, _, name = source.partition(":")
    found = find_own_pictures(kind, user_path(name))
    whole = len(found.pictures) <= DECODED
    whole = whole and sum(picture.path.stat().st_size for picture in found.pictures) <= DECODED_BYTES
    images, broken = _read(found, whole)
    refuse_broken(source, broken, settings.broken)
    if not images:
        raise BadInput(f"{source}: none of its {len(broken)} pictures can be decoded")
    report = split_images(source, found.classes, images, settings).report
    captions = sum(len(image.captions) for image in images)
    attributes = sorted({name for image in images for name in image.attributes})
    facts = {
        "pictures": f"{len(images):,}",
        "classes": f"{len(found.classes):,}" if found.classes else "none",
        **({"captions": f"{captions:,}"} if captions else {}),
        **({"attributes": ", ".join(attributes)} if attributes else {}),
        **_sizes(images, settings),
        "checked": "each picture was decoded" if whole else "the header of each picture; `preprocess` decodes them",
    }
    notes = list(found.notes)
    if not found.classes:
        notes.append("there are captions but no classes, so that no classifier is trained")
    return Inspection(
        facts,
        counts_by_class(report, found.classes, "pictures"),
        report,
        {**found.left_out, "broken": broken},
        notes,
    )


def _read(found: OwnPictures, whole: bool) -> tuple[list[RawImage], list[str]]:
    """The pictures in the order of `preprocess`, their pixels all zero; and what is wrong with broken ones."""
    blank: dict[str, np.ndarray] = {}
    broken: dict[str, str] = {}

    def looked_at(picture: Picture) -> bytes:
        content = read_picture(picture)
        try:
            stream = io.BytesIO(content)
            if whole:
                pixels = decode(stream, picture.name)
                blank[picture.name] = zeros(pixels.shape, pixels.dtype)
            else:
                blank[picture.name] = read_header(stream, picture.name)
        except ValueError as error:
            broken[picture.name] = str(error)
        return content

    rows = index_of(found, looked_at)
    classes = found.classes
    images = [raw_image(row, blank[row["file"]], classes) for row in rows if row["file"] in blank]
    return images, [broken[row["file"]] for row in rows if row["file"] in broken]


FITTED = {"crop": "the middle is cut out", "pad": "black is added", "stretch": "stretched"}


def _fitted(shapes: Sequence[tuple[int, ...]], fit: str) -> str:
    """How pictures become square, if any is not square."""
    return f", {FITTED[fit]}" if any(height != width for height, width, *_ in shapes) else ""


def _sizes(images: Sequence[RawImage], settings: PreprocessImages) -> dict[str, str]:
    shapes = [image.pixels.shape for image in images]
    (low, wide), (high, wider) = (each(shapes, key=lambda shape: shape[0] * shape[1])[:2] for each in (min, max))
    colours = Counter("RGB" if len(shape) == 3 else "grey" for shape in shapes)
    size = settings.size or size_of_all({shape[:2] for shape in shapes})
    channels = settings.channels or (3 if colours["RGB"] else 1)
    return {
        "sizes": f"{wide}×{low}" + (f" to {wider}×{high}" if len({shape[:2] for shape in shapes}) > 1 else ""),
        "colours": ", ".join(f"{count:,} {name}" for name, count in sorted(colours.items())),
        "prepared as": f"{size}×{size}, {'RGB' if channels == 3 else 'grey'}" + _fitted(shapes, settings.fit),
    }
