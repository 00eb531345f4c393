"""`reports/index.html`: every family's scores and pictures on one page that needs no network."""

import base64
import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from quartet.artifacts import paths
from quartet.artifacts.writing import read_json, write_text

if TYPE_CHECKING:
    from quartet.families import Family

PAGE_WIDTH = 1007  # pixels inside a section of the page
PICTURES = {
    "samples": "Drawn from their captions",
    "animation": "From noise to a picture",
    "confusion": "Confusion matrix",
    "reverse_process": "The reverse process",
    "forward_process": "The forward process",
    "neighbours": "Nearest training images",
    "sweep": "Fidelity and variety against guidance and temperature",
    "steps": "Distance from the validation images against the number of steps",
    "mistakes": "The surest mistakes",
    "baselines": "Against compression and counting",
    "next_character": "How probable it finds a held-out passage",
    "cost_by_kind": "What is hard",
    "cost_by_place": "What context is worth",
    "attention_heads": "What each head looks at",
    "reliability": "Reliability",
    "early_knowledge": "How early it knows",
    "hidden_states": "Hidden states",
    "gradient_reach": "The vanishing gradient",
    "grad_cam": "Where the network looked",
    "filters": "The first layer's filters",
    "curves": "Learning curves",
}


def write_report(page: Path, families: "Iterable[Family]") -> None:
    """Gather what evaluation and training left into one self-contained page.

    Raises:
        ValueError: a family has not been evaluated.
    """
    described = [_described(family) for family in families]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    preview = _embedded(paths.processed("images") / "preview.png")
    template = environment.get_template("html_report.html.jinja")
    write_text(page, template.render(families=described, preview=preview))


def _described(family: "Family") -> dict:
    folder, headline = paths.report(family.key), family.headline().score
    metrics = read_json(folder / "metrics.json")
    pictures = [
        folder / "confusion.png",
        *sorted(p for p in (folder / "evaluation").glob("*.*") if p.suffix in (".png", ".gif")),
        folder / "training/curves.png",
    ]
    order = list(PICTURES)
    pictures.sort(key=lambda picture: order.index(picture.stem) if picture.stem in order else len(order))
    samples = folder / "evaluation/samples.txt"
    return {
        "name": family.key,
        "title": family.title,
        "headline": (headline.replace("_", " "), _shown(metrics[headline])),
        "metrics": [(key, _shown(value)) for key, value in sorted(metrics.items())],
        "training": [(key, _shown(value)) for key, value in sorted(read_json(folder / "training.json").items())],
        "pictures": [(PICTURES.get(p.stem, p.stem.replace("_", " ")), _embedded(p), _is_wide(p)) for p in pictures],
        "layers": _table(folder / "evaluation/layers.csv"),
        "classes": _table(folder / "evaluation/classification_report.csv"),
        "neighbours": _table(folder / "evaluation/neighbours.csv"),
        "samples": samples.read_text(encoding="utf-8") if samples.exists() else "",
    }


def _table(path: Path) -> list[list[str]]:
    """The rows of a CSV file, its header first; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))


def _shown(value: float) -> str:
    """A number as the metrics file has it."""
    return json.dumps(value)


def _is_wide(picture: Path) -> bool:
    """Whether a picture wants the page's whole width."""
    from PIL import Image

    with Image.open(picture) as image:
        return image.width > PAGE_WIDTH


def _embedded(picture: Path) -> str:
    return f"data:image/{picture.suffix[1:]};base64," + base64.b64encode(picture.read_bytes()).decode()
