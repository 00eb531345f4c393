"""Decoding photographs against one loop of Pillow: `python -m benchmarks.decoding PICTURES.zip`.

Decodes the pictures of an archive, again and again, by turns: in a loop that opens each with Pillow and converts it to
RGB, and as our `preprocess` does, on all cores. Prints the pictures per second of both and their ratio, in each round.
`--side` first resizes the pictures. Takes half a minute.
"""

import io
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from quartet.images.preparation.parallel_decoding import NamedFile, decode_all, usable_cores

ENDINGS = (".jpg", ".jpeg", ".png")


def main(
    archive: Annotated[Path, typer.Argument(help="A zip file with pictures.")],
    side: Annotated[int | None, typer.Option(help="Resize the pictures to squares of this side.", min=1)] = None,
    rounds: Annotated[int, typer.Option(help="Rounds.", min=1)] = 5,
    count: Annotated[int, typer.Option(help="Pictures in a round, at least.", min=1)] = 4000,
) -> None:
    """Print the rates of both and their ratio."""
    with zipfile.ZipFile(archive) as opened:
        files = [(name, opened.read(name)) for name in opened.namelist() if name.lower().endswith(ENDINGS)]
    if not files:
        raise typer.BadParameter(f"{archive} holds no pictures")
    if side:
        files = [(name, _resized(content, side)) for name, content in files]
    files *= -(-count // len(files))
    ratios = []
    for _ in range(rounds):
        loop, ours = _rate(_loop, files), _rate(decode_all, files)
        ratios.append(ours / loop)
        print(f"one loop {loop:,.0f} pictures/s, ours {ours:,.0f}: {ratios[-1]:.2f} times", flush=True)
    print(f"median: {np.median(ratios):.2f} times on {usable_cores()} cores")


def _resized(content: bytes, side: int) -> bytes:
    kept = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").resize((side, side)).save(kept, "JPEG")
    return kept.getvalue()


def _loop(files: Iterable[NamedFile]) -> Iterable[np.ndarray]:
    for _, content in files:
        with Image.open(io.BytesIO(content)) as picture:
            yield np.asarray(picture.convert("RGB"))


def _rate(decode: Callable[[Iterable[NamedFile]], Iterable[object]], files: list[NamedFile]) -> float:
    """Pictures per second."""
    start = time.perf_counter()
    for _ in decode(files):
        pass
    return len(files) / (time.perf_counter() - start)


if __name__ == "__main__":
    typer.run(main)
