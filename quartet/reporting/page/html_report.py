"""Write `reports/index.html`: every family's pictures and scores on one page that works offline."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from quartet.artifacts import paths
from quartet.artifacts.json_reading import check_shape
from quartet.artifacts.shapes import DATA, SCORES
from quartet.artifacts.writing import read_json, write_text
from quartet.reporting.page.history import previous_metrics
from quartet.reporting.page.html_tables import (
    check_counts,
    class_counts,
    class_report,
    confusion_of,
    few_examples,
    shaded_confusion,
    span,
    table_of,
)
from quartet.reporting.page.numbers import balanced_interval, format_number, interval_of

if TYPE_CHECKING:
    from quartet.families import Family

PAGE_WIDTH = 1007  # width of a section of the page in pixels
MAX_PAGE_BYTES = 3_000_000  # if the page is larger, pictures get lossy compression, as little as possible
COMPRESSIONS = ((80, 2.0), (60, 1.0), (40, 0.6))  # quality, and largest width as a multiple of `PAGE_WIDTH`
Compression = tuple[int, float] | None  # one of `COMPRESSIONS`, or None for no compression
PICTURES = {
    "samples": "Drawn from their captions",
    "next_character": "Probability of each character of a held-out passage",
    "forecasts": "Forecasts",
    "predictions": "Predicted and true numbers",
    "confusion": "Confusion matrix",
    "animation": "From noise to a picture",
    "reverse_process": "The reverse process",
    "forward_process": "The forward process",
    "interpolation": "From one caption to another",
    "attributes": "By attribute",
    "unseen_compositions": "Compositions that training has only apart",
    "neighbours": "Nearest training images",
    "sweep": "Fidelity and variety against guidance and temperature",
    "steps": "Distance from the validation images against the number of steps",
    "error_by_step": "Error by step ahead",
    "mistakes": "The worst mistakes",
    "baselines": "Comparison with baselines",
    "cost_by_kind": "Cost by kind of character",
    "cost_by_place": "The value of context",
    "scores_by_length": "Scores by length",
    "alignment": "What each written token attends to in the source",
    "attention_heads": "What each attention head looks at",
    "class_counts": "Examples of each class",
    "reliability": "Reliability diagram",
    "early_knowledge": "Accuracy when only the beginning is read",
    "hidden_states": "Hidden states",
    "gradient_reach": "The vanishing gradient",
    "grad_cam": "Where the network looked",
    "filters": "The first layer's filters",
    "augmentation": "Training images and their augmentation",
    "curves": "Learning curves",
}
NO_DATA: dict = {"origin": "", "warnings": [], "examples": {}, "classes": [], "class_counts": {}}
LEADING = (
    "samples",
    "next_character",
    "forecasts",
    "predictions",
    "confusion",
)  # a family's picture at the top of the page is the first it has


def write_report(page: Path, families: "Iterable[Family]") -> None:
    """Write the results of all trainings and evaluations into one self-contained page.

    Raises:
        ValueError: a family has not been evaluated.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("html_report.html.jinja")
    families = list(families)
    for compression in (None, *COMPRESSIONS):
        described = [_description(family, compression) for family in families]
        preview = _embedded(paths.processed("images") / "preview.png", compression)
        text = template.render(families=described, preview=preview)
        if len(text) <= MAX_PAGE_BYTES:
            break
    write_text(page, text)


def _description(family: "Family", compression: Compression) -> dict:
    folder = paths.report(family.key)
    metrics = _read(folder / "metrics.json", SCORES, f"evaluate@{family.key}")
    training = _read(folder / "training.json", SCORES, f"train-{family.key}")
    described = folder / "evaluation/data.json"
    data = _read(described, DATA, f"evaluate@{family.key}") if described.exists() else NO_DATA
    check_counts(data, described)
    confusion = confusion_of(folder / "confusion_matrix.csv")
    sizes = {f"{split}_examples": count for split, count in data["examples"].items()}
    of_training = sizes if data["classes"] else {}  # the accuracy of a translator is one of tokens
    intervals = _intervals({**sizes, **metrics}, confusion) | _intervals({**of_training, **training}, [])
    as_intervals = {f"{name}_spread" for name in intervals}
    before = previous_metrics(folder / "metrics.json", metrics)

    def score(name: str) -> dict[str, str]:
        return _score(name, metrics, before, intervals.get(name, ""))

    pictures = [_picture(path, compression) for path in _pictures_in(folder)]
    leads = [picture for stem in LEADING for picture in pictures if picture["stem"] == stem]
    samples = folder / "evaluation/samples.txt"
    return {
        "name": family.key,
        "title": family.title,
        "headline": score(_headline(family, metrics, folder / "metrics.json")),
        "before": before[0] if before else "",
        "lead": leads[0],
        "pictures": [picture for picture in pictures if picture is not leads[0]],
        "metrics": [score(name) for name in sorted(metrics) if name not in as_intervals],
        "training": [
            (name.replace("_", " "), format_number(value), intervals.get(name, ""))
            for name, value in sorted(training.items())
        ],
        "origin": data["origin"],
        "warnings": data["warnings"],
        "few": few_examples(data),
        "confusion": shaded_confusion(confusion),
        "tables": [
            ("Examples of each class", class_counts(data)),
            ("Each class", class_report(folder / "evaluation/classification_report.csv")),
            ("Scores by length", table_of(folder / "evaluation/scores_by_length.csv")),
            ("Nearest words", table_of(folder / "evaluation/neighbours.csv")),
            ("Layers", table_of(folder / "evaluation/layers.csv")),
        ],
        "samples": samples.read_text(encoding="utf-8") if samples.exists() else "",
    }


def _read(path: Path, shape: Any, stage: str) -> dict[str, Any]:
    content = read_json(path)
    check_shape(content, shape, path, f"`dvc repro --force {stage}` writes it again")
    return content


def _headline(family: "Family", metrics: Mapping[str, float], path: Path) -> str:
    """The name of the headline score of the task that the metrics are of."""
    names = [each.score for each in family.headlines.values()]
    for name in names:
        if name in metrics:
            return name
    again = f"`dvc repro --force evaluate@{family.key}` writes it again"
    raise ValueError(f"{path}: found none of the scores {', '.join(names)}; {again}")


def _intervals(scores: Mapping[str, float], confusion: Sequence[Sequence[str]]) -> dict[str, str]:
    """The 95 % interval, as text, of each score that has one; `scores` include the numbers of examples."""
    found = {name: interval_of(name, scores) for name in scores}
    if "balanced_accuracy" in scores and confusion:
        rows = [list(map(int, row[1:])) for row in confusion[1:]]
        recalls = [(row[place] / sum(row), sum(row)) for place, row in enumerate(rows) if sum(row)]
        found["balanced_accuracy"] = balanced_interval(*zip(*recalls, strict=True))
    return {name: span(interval) for name, interval in found.items() if interval}


def _score(
    name: str, metrics: Mapping[str, float], before: tuple[str, dict[str, float]] | None, interval: str
) -> dict[str, str]:
    """A score as text: its value, its 95 % interval, and its difference from the earlier commit."""
    return {
        "name": name.replace("_", " "),
        "value": format_number(metrics[name]),
        "exact": str(metrics[name]),
        "interval": interval,
        "change": _change(metrics[name], before[1].get(name) if before else None),
    }


def _change(value: float, before: float | None) -> str:
    if before is None:
        return ""
    if value == before:
        return "same"
    return f"{'+' if value > before else '−'}{format_number(abs(value - before))}"


def _pictures_in(folder: Path) -> list[Path]:
    """The pictures of a family's report, in the order of `PICTURES`."""
    found = [folder / "confusion.png", *(folder / "evaluation").glob("*.*"), *(folder / "training").glob("*.*")]
    order = list(PICTURES)
    ranks = {path: order.index(path.stem) if path.stem in order else len(order) for path in found}
    return sorted(
        (path for path in found if path.suffix in (".png", ".gif")), key=lambda path: (ranks[path], path.name)
    )


def _picture(path: Path, compression: Compression) -> dict:
    with Image.open(path) as image:
        wide = image.width > PAGE_WIDTH
    title = PICTURES.get(path.stem, path.stem.replace("_", " "))
    return {"stem": path.stem, "title": title, "wide": wide, "source": _embedded(path, compression)}


def _embedded(picture: Path, compression: Compression) -> str:
    """A picture as a data URL; PNGs get lossy compression if `compression` is given."""
    content, kind = picture.read_bytes(), picture.suffix[1:]
    if compression and kind == "png":
        quality, widths = compression
        side = round(widths * PAGE_WIDTH)
        with Image.open(io.BytesIO(content)) as image:
            image.thumbnail((side, side))
            stream = io.BytesIO()
            image.convert("RGB").save(stream, "WEBP", quality=quality)
        content, kind = stream.getvalue(), "webp"
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
