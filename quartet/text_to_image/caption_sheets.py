"""The pictures of the evaluation of captions that pictures bring along: of attributes, and of new compositions."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from quartet.reporting.drawing.figures import save_figure
from quartet.reporting.image_sheets import image_sheet, wrapped
from quartet.text_to_image.captioned_pictures import CaptionedPictures
from quartet.text_to_image.captions.attributes import Attributes
from quartet.text_to_image.captions.open_captions import OpenCaptions
from quartet.text_to_image.generated_images import nearest
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.settings import EvaluateDiffusion
from quartet.text_to_image.sheets import (
    BETWEEN_ROWS,
    SHEET_COLUMNS,
    STRIP_ROWS,
    WIDE,
    draw_caption_samples,
    draw_forward_process,
    draw_interpolation,
    draw_neighbours,
    draw_reverse_process,
    evenly_spaced,
)

VALUES = 6  # shown of an attribute, at most
COMPOSITIONS = 8  # new ones that are shown


def draw_sheets(
    folder: Path,
    network: TextToImage,
    reader: OpenCaptions,
    pictures: Tensor,
    owners: Tensor,
    asked: list[str],
    train: CaptionedPictures,
    how: EvaluateDiffusion,
    seed: int,
) -> None:
    """Draw the sheets that need no judge: samples, neighbours, both processes, pictures between captions.

    `pictures` are of the captions `asked`, and `owners` says which one each is of, `(pictures,)`.
    """
    draw_caption_samples(folder / "samples.png", pictures, owners, asked)
    draw_neighbours(folder / "neighbours.png", pictures, owners, train.images, asked, cell=WIDE)
    generator = torch.Generator(pictures.device).manual_seed(seed)
    draw_forward_process(folder / "forward_process.png", train.images[:1][0], network.schedule, generator)
    shown = asked[:STRIP_ROWS]
    prompts = reader.encode_cut(shown)[0].to(pictures.device)
    draw_reverse_process(folder, network, prompts, shown, how, generator)
    ends = [asked[place] for place in evenly_spaced(owners.unique(), 2 * BETWEEN_ROWS).tolist()]
    prompts = reader.encode_cut(ends)[0].to(pictures.device)
    draw_interpolation(folder / "interpolation.png", network, prompts, ends, how, generator)


def draw_attributes(path: Path, attributes: Attributes, drawn: CaptionedPictures, seen: Tensor) -> None:
    """Draw one row for each value of each attribute, or the most frequent: pictures of captions that ask for it.

    `seen` is what the judge sees, `(pictures, attributes)`. A row says in how many of its pictures that is the value;
    another value stands above its picture.
    """
    rows, names, titles = [], [], []
    for column, (name, values) in enumerate(attributes.values.items()):
        asked = drawn.attributes[:, column]
        found, counts = asked.unique(return_counts=True)
        frequent = counts.argsort(descending=True, stable=True)[:VALUES].sort().values
        for value in found[frequent].tolist():
            places = (asked == value).nonzero()[:, 0]
            right = (seen[places.to(seen.device), column] == value).float().mean().item()
            shown = evenly_spaced(places, SHEET_COLUMNS)
            rows.append(drawn.images[shown].cpu().numpy())
            names.append(f"{name}: {values[value]} ({right:.0%})")
            others = seen[shown.to(seen.device), column].tolist()
            titles.append(["" if other == value else values[other] for other in others])
    title = "By attribute: in how many pictures a judge sees it, and above the others, what it sees"
    save_figure(image_sheet(rows, names, titles, title), path)


def draw_unseen_compositions(
    path: Path,
    drawn: CaptionedPictures,
    unseen: Tensor,
    owners: Tensor,
    test: CaptionedPictures,
    train: CaptionedPictures,
) -> None:
    """Draw pictures of compositions that training does not have, above real ones and the nearest training pictures.

    `unseen` says which of the drawn pictures these are, and `owners` which test picture has the caption of each,
    `(pictures,)` both. Where there is no such picture, none is drawn.
    """
    places = unseen.nonzero()[:, 0].tolist()
    first = {owner: place for place, owner in reversed(list(zip(places, owners[places].tolist(), strict=True)))}
    if not first:
        return
    chosen = evenly_spaced(torch.tensor(sorted(first.values()), device=owners.device), COMPOSITIONS)
    distances, numbers = nearest(drawn.images[chosen], train.images)
    numbers = numbers.to(train.images.device)
    sets = (drawn.images[chosen], test.images[owners[chosen]], train.images[numbers])
    titles = [
        _captions(test, owners[chosen].tolist()),
        [""] * len(chosen),
        [
            f"{said}\nat {distance:.2f}"
            for said, distance in zip(_captions(train, numbers.tolist()), distances.tolist(), strict=True)
        ],
    ]
    names = ["drawn", "real test picture", "nearest training picture"]
    title = "Compositions that training has only apart"
    save_figure(image_sheet([each.cpu().numpy() for each in sets], names, titles, title, WIDE), path)


def _captions(pictures: CaptionedPictures, places: Sequence[int]) -> list[str]:
    return [wrapped(pictures.captions[place][0], WIDE) for place in places]
