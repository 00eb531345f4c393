"""`python -m quartet draw CAPTION…`: draw pictures with the trained text-to-image model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, clear_errors

# How Pillow writes a file, by its ending: without loss where the format allows it.
FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": (jpeg := {"format": "JPEG", "quality": 95, "subsampling": 0}),
    ".jpeg": jpeg,
    ".webp": {"format": "WEBP", "lossless": True},
}
_FROM_PARAMS = {"show_default": "from params.yaml"}


class Sampler(StrEnum):
    euler = "euler"
    heun = "heun"
    ddim = "ddim"
    ddpm = "ddpm"


def draw(
    captions: Annotated[list[str], typer.Argument(help="What to draw, such as 'a handwritten seven'.")],
    count: Annotated[int, typer.Option(help="Pictures per caption.", min=1, max=1000)] = 8,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", min=1, max=1000, **_FROM_PARAMS)] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="Strength of classifier-free guidance; 1 is no guidance.", min=0, max=100, **_FROM_PARAMS),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Strength of the initial noise; above 1, pictures vary more.", min=0.01, max=10, **_FROM_PARAMS
        ),
    ] = None,
    rejection: Annotated[
        float | None,
        typer.Option(
            help="Share of the drawn pictures to reject: those that match their captions least.",
            min=0,
            max=0.9,
            **_FROM_PARAMS,
        ),
    ] = None,
    sampler: Annotated[
        Sampler | None,
        typer.Option(
            help="Solver. If the one in params.yaml does not fit the model: heun for a flow, else ddim.",
            **_FROM_PARAMS,
        ),
    ] = None,
    params: Annotated[
        Path, typer.Option(help="Settings file; its section evaluate.diffusion has the defaults.")
    ] = Path("params.yaml"),
    seed: Annotated[int, typer.Option(help="Same seed, same pictures.", min=0, max=2**63 - 1)] = 0,
    zoom: Annotated[int, typer.Option(help="Enlarge each pixel by this factor.", min=1, max=64)] = 8,
    out: Annotated[Path, typer.Option(help="The PNG, JPEG or WebP file to write.")] = Path("drawn.png"),
) -> None:
    """Draw pictures of captions into one file, one row per caption."""
    with clear_errors("draw"):
        import sys

        from PIL import Image
        from rich.console import Console
        from rich.progress import track

        from quartet.artifacts.writing import atomic_path
        from quartet.settings import read_settings

        how_to_write = file_format(out)
        settings = read_settings(params).section("evaluate.diffusion")  # before the slow imports
        from quartet.datasets.pictures import to_picture
        from quartet.text_to_image.samplers import SAMPLERS, final_pictures
        from quartet.text_to_image.serving import Painter, to_pixels

        painter = Painter(paths.model("diffusion"))
        chosen: dict[str, Any] = {
            "steps": steps,
            "guidance": guidance,
            "temperature": temperature,
            "rejection": rejection,
        }
        how = {name: getattr(settings, name) if value is None else value for name, value in chosen.items()}
        if sampler is None and settings.sampler in SAMPLERS[painter.network.objective]:
            sampler = Sampler(settings.sampler)
        on_the_way = painter.drawing(captions, count, sampler=sampler and sampler.value, seed=seed, **how)
        total, console, hidden = how["steps"] + (how["rejection"] > 0), Console(stderr=True), not sys.stderr.isatty()
        steps_shown = track(on_the_way, "drawing", total=total, console=console, disable=hidden)
        pixels = to_pixels(final_pictures(steps_shown))  # (pictures, size, size, channels)
        size, _, channels = pixels.shape[1:]
        sheet = pixels.reshape(len(captions), count, size, size, channels).swapaxes(1, 2)
        image = to_picture(sheet.reshape(len(captions) * size, count * size, channels))
        image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
        with atomic_path(out) as temporary:
            image.save(temporary, **how_to_write)
        typer.echo(f"{out}: {len(captions)} × {count} pictures")


def file_format(out: Path) -> dict[str, Any]:
    """Pillow's options for the format that a file's name ends in.

    Raises:
        BadInput: there is no ending, or one of no such format.
    """
    if out.suffix.lower() not in FORMATS:
        raise BadInput(f"--out: found {out}, allowed are names that end in {', '.join(FORMATS)}")
    return FORMATS[out.suffix.lower()]
