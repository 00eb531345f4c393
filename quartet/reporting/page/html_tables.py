"""The tables of the report page, from CSV files and from the counts in `evaluation/data.json`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from quartet.artifacts.errors import listed
from quartet.reporting.page.numbers import format_number, wilson_interval

FEW = 5  # a class with fewer test examples is named beside the score
MAX_CONFUSION = 30  # classes of a confusion matrix that is also a table
REPRO = "`dvc repro --force evaluate` writes it again"
SPLITS = ("train", "validation", "test")


def check_counts(data: Mapping, path: Path) -> None:
    """Check that `evaluation/data.json` has a count of each class in each split, where there are classes.

    Raises:
        ValueError: it has not.
    """
    for split in SPLITS if data["classes"] else ():
        counts = data["class_counts"].get(split, [])
        if len(counts) != len(data["classes"]):
            found, wanted = len(counts), len(data["classes"])
            raise ValueError(f"{path}: class_counts.{split}: found {found} counts, wanted {wanted}; {REPRO}")


def few_examples(data: Mapping) -> str:
    """The classes that have too few test examples for their scores to say much, with their numbers; empty if none."""
    counts = zip(data["classes"], data["class_counts"].get("test", ()), strict=False)
    return listed([f"{name} ({count})" for name, count in counts if count < FEW])


def class_counts(data: Mapping) -> list[list[str]]:
    """A row per class with its number of examples in each split; empty where there are no classes."""
    if not data["classes"]:
        return []
    rows = zip(data["classes"], *(data["class_counts"][split] for split in SPLITS), strict=True)
    return [["class", *SPLITS], *([name, *(f"{count:,}" for count in counts)] for name, *counts in rows)]


def class_report(path: Path) -> list[list[str]]:
    """The class report with the 95 % interval of each recall, which is the accuracy within a class."""
    rows = rows_of(path)
    if not rows:
        return []
    shown = [[*rows[0], "95 % of recall"]]
    averages = len(rows) - 2  # the last two rows
    for place, row in enumerate(rows[1:], start=1):
        try:
            recall, support = float(row[2]), int(float(row[4]))
            if not (0 <= recall <= 1 and support >= 0):
                raise ValueError
        except (ValueError, IndexError, OverflowError) as error:
            raise ValueError(f"{path}: row {place}: found {row}, wanted a class and its scores; {REPRO}") from error
        interval = wilson_interval(recall, support) if support and place < averages else None
        shown.append([row[0], *map(_cell, row[1:4]), f"{support:,}", span(interval) if interval else ""])
    return shown


def shaded_confusion(confusion: Sequence[Sequence[str]]) -> list[list[dict]]:
    """The confusion matrix with the share of each count in its row, as the strength of its colour from 0 to 1.

    Empty where there are more classes than a table can show.
    """
    if not 2 <= len(confusion) <= MAX_CONFUSION + 1:
        return []
    shaded: list[list[dict]] = [[{"text": _visible(name)} for name in confusion[0]]]
    for name, *counts in confusion[1:]:
        total = max(sum(map(int, counts)), 1)
        # The square root makes a share of one in a hundred visible.
        cells = [{"text": count, "shade": round((int(count) / total) ** 0.5, 2)} for count in counts]
        shaded.append([{"text": _visible(name)}, *cells])
    return shaded


def _visible(name: str) -> str:
    """A name with its white space to be seen, as in the pictures."""
    shown = name.replace("\n", "↵").replace("\t", "⇥")
    return shown if shown.strip() and shown == shown.strip() else shown.replace(" ", "␣")


def table_of(path: Path) -> list[list[str]]:
    """The rows of a CSV file with shortened numbers, including its header; empty if there is no file."""
    return [[_cell(value) for value in row] for row in rows_of(path)]


def confusion_of(path: Path) -> list[list[str]]:
    """The rows of a confusion matrix, including its header; empty if there is no file.

    Raises:
        ValueError: a row is not a class and its counts.
    """
    rows = rows_of(path)
    for place, row in enumerate(rows[1:], start=1):
        if len(row) != len(rows[0]) or not all(count.isascii() and count.isdigit() for count in row[1:]):
            raise ValueError(
                f"{path}: row {place}: found {row[:10]}, wanted a class and {len(rows[0]) - 1} counts; {REPRO}"
            )
    return rows


def rows_of(path: Path) -> list[list[str]]:
    """The rows of a CSV file, including its header; empty if there is no file.

    Raises:
        ValueError: it is no table.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return [row for row in csv.reader(lines) if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is no table ({error}); {REPRO}") from error


def _cell(text: str) -> str:
    """Shorten a number with a decimal point; other text is unchanged."""
    try:
        return format_number(float(text)) if "." in text else text
    except ValueError:
        return text


def span(interval: tuple[float, float]) -> str:
    """An interval as text."""
    return "–".join(map(format_number, interval))
