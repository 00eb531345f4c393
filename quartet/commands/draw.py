"""`python -m quartet draw CAPTION…`: draw pictures with the trained text-to-image model."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, clear_errors
from quartet.commands import FROM_PARAMS
from quartet.commands.outputs import refuse_file

if TYPE_CHECKING:
    from torch import Tensor

# How Pillow writes a file, by its ending: without loss where the format allows it.
FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": (jpeg := {"format": "JPEG", "quality": 95, "subsampling": 0}),
    ".jpeg": jpeg,
    ".webp": {"format": "WEBP", "lossless": True},
}
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # in pixels, that a format can hold


class Sampler(StrEnum):
    euler = "euler"
    heun = "heun"
    ddim = "ddim"
    ddpm = "ddpm"


def draw(
    captions: Annotated[list[str], typer.Argument(help="What to draw, such as 'a handwritten seven'.")],
    count: Annotated[
        int | None,
        typer.Option(
            help="Pictures per caption and seed.",
            min=1,
            max=1000,
            show_default="8; 1 if there are several seeds",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", min=1, max=1000, **FROM_PARAMS)] = None,
    guidance: Annotated[
        list[float] | None,
        typer.Option(
            help="Strength of classifier-free guidance; 1 is no guidance. Given several times: a row for each.",
            min=0,
            max=100,
            **FROM_PARAMS,
        ),
    ] = None,
    negative: Annotated[
        str | None, typer.Option(help="A caption to move away from, by guidance.", show_default=False)
    ] = None,
    between: Annotated[
        bool, typer.Option("--between", help="Draw from the first of two captions to the second, from the same noise.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="A picture to start from, with --strength or --mask.", show_default=False)
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help="Draw variations of the picture: 0 leaves it as it is, 1 is noise alone.",
            min=0,
            max=1,
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="A black and white picture: draw the white part anew, keep the rest.", show_default=False),
    ] = None,
    resamplings: Annotated[
        int | None,
        typer.Option(
            help="How often to draw each step of the white part, so that it fits the rest.",
            min=1,
            max=100,
            show_default="10",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Strength of the initial noise; above 1, pictures vary more.", min=0.01, max=10, **FROM_PARAMS
        ),
    ] = None,
    rejection: Annotated[
        float | None,
        typer.Option(
            help="Share of the drawn pictures to reject: those that match their captions least.",
            min=0,
            max=0.9,
            **FROM_PARAMS,
        ),
    ] = None,
    sampler: Annotated[
        Sampler | None,
        typer.Option(
            help="Solver. If the one in params.yaml does not fit the model: heun for a flow, else ddim.",
            **FROM_PARAMS,
        ),
    ] = None,
    params: Annotated[
        Path, typer.Option(help="Settings file; its section evaluate.diffusion has the defaults.")
    ] = Path("params.yaml"),
    seed: Annotated[
        list[int] | None,
        typer.Option(
            help="Same seed, same pictures. Given several times: columns for each.",
            min=0,
            max=2**63 - 1,
            show_default="0",
        ),
    ] = None,
    zoom: Annotated[int, typer.Option(help="Enlarge each pixel by this factor.", min=1, max=64)] = 8,
    gap: Annotated[int, typer.Option(help="White pixels between the pictures.", min=0, max=64)] = 4,
    out: Annotated[Path, typer.Option(help="The PNG, JPEG or WebP file to write.")] = Path("drawn.png"),
) -> None:
    """Draw pictures of captions into one file, one row per caption and guidance."""
    with clear_errors("draw"):
        import sys

        from rich.console import Console
        from rich.progress import track

        from quartet.settings import read_settings

        how_to_write = file_format(out)
        refuse_file(out, [given for given in (picture, mask) if given])
        refuse_idle(picture=picture, strength=strength, mask=mask, resamplings=resamplings)
        settings = read_settings(params).section("evaluate.diffusion")  # before the slow imports
        guidances, seeds = guidance or [settings.guidance], seed or [0]
        if negative is not None and set(guidances) == {1}:
            raise BadInput("--negative: guidance 1 does not use it; set --guidance to another value")
        count = count or (8 if between or len(seeds) == 1 else 1)
        import torch

        from quartet.text_to_image.given_pictures import read_given
        from quartet.text_to_image.samplers import final_pictures
        from quartet.text_to_image.serving import Painter

        painter = Painter(paths.model("diffusion"))
        # Rows are captions, then guidances; an interpolation, to be seen from left to right, has a row per seed too.
        rows = len(guidances) * (len(seeds) if between else len(captions))
        columns = count if between else len(seeds) * count
        side = painter.card["data"]["size"] * zoom + gap
        refuse_large(out, how_to_write["format"], max(rows, columns) * side - gap)
        chosen: dict[str, Any] = {"steps": steps, "temperature": temperature, "rejection": rejection}
        how = {name: getattr(settings, name) if value is None else value for name, value in chosen.items()}
        solver = painter.fitting(settings.sampler) if sampler is None else sampler.value
        how |= {"sampler": solver, "negative": negative, "between": between}
        if picture is not None:
            how["given"] = read_given(painter.card["data"], picture, mask, strength, resamplings)
        cells = [painter.drawing(captions, count, guidance=g, seed=s, **how) for g in guidances for s in seeds]
        total, console, hidden = how["steps"] + (how["rejection"] > 0), Console(stderr=True), not sys.stderr.isatty()
        on_the_way = map(torch.stack, zip(*cells, strict=True))
        steps_shown = track(on_the_way, "drawing", total=total, console=console, disable=hidden)
        pictures = final_pictures(steps_shown)  # (guidances · seeds, captions · count, channels, size, size)
        pictures = pictures.view(len(guidances), len(seeds), -1, count, *pictures.shape[2:])
        sheet = pictures.permute(2, 0, 1, 3, 4, 5, 6).reshape(-1, columns, *pictures.shape[4:])
        write_sheet(out, sheet, zoom, gap, how_to_write)
        typer.echo(f"{out}: {len(sheet)} × {columns} pictures")


def refuse_idle(*, picture: Path | None, strength: float | None, mask: Path | None, resamplings: int | None) -> None:
    """Refuse options that would do nothing without another.

    Raises:
        BadInput: there are some.
    """
    if picture is None:
        needing = {"--strength": strength, "--mask": mask, "--resamplings": resamplings}
        for option, value in needing.items():
            if value is not None:
                raise BadInput(f"{option}: does nothing without --picture; give the picture to start from")
    elif strength is None and mask is None:
        raise BadInput("--picture: add --strength 0.6 to draw variations of it, or --mask FILE to draw a part of it")
    elif mask is None and resamplings is not None:
        raise BadInput("--resamplings: does nothing without --mask; give the part to draw")


def refuse_large(out: Path, form: str, pixels: int) -> None:
    """Refuse a sheet with a side of so many `pixels` if files of its format cannot hold it.

    Raises:
        BadInput: they cannot.
    """
    if pixels > LONGEST_SIDE.get(form, pixels):
        raise BadInput(
            f"--out: {out} would have {pixels:,} pixels on a side, and a {form} file has at most "
            f"{LONGEST_SIDE[form]:,}; give a name that ends in .png, or a smaller --zoom or --count"
        )


def write_sheet(out: Path, sheet: "Tensor", zoom: int, gap: int, how: dict[str, Any]) -> None:
    """Write pictures `(rows, columns, channels, size, size)` in [-1, 1] into one file.

    Each pixel is repeated `zoom` times in both directions; `gap` white pixels are between pictures.
    """
    from torch.nn import functional as F

    from quartet.artifacts.writing import atomic_path
    from quartet.datasets.pictures import to_picture
    from quartet.text_to_image.samplers import to_uint8

    enlarged = to_uint8(sheet).repeat_interleave(zoom, dim=3).repeat_interleave(zoom, dim=4)
    spaced = F.pad(enlarged, (0, gap, 0, gap), value=255)  # to the right of and below each picture
    rows, columns, channels, height, width = spaced.shape
    pixels = spaced.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    image = to_picture(pixels[: rows * height - gap, : columns * width - gap].numpy())
    with atomic_path(out) as temporary:
        image.save(temporary, **how)


def file_format(out: Path) -> dict[str, Any]:
    """Pillow's options for the format that a file's name ends in.

    Raises:
        BadInput: there is no ending, or one of no such format.
    """
    if out.suffix.lower() not in FORMATS:
        raise BadInput(f"--out: found {out}, allowed are names that end in {', '.join(FORMATS)}")
    return FORMATS[out.suffix.lower()]
