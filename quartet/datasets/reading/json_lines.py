"""JSON lines: an object per line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quartet.artifacts.errors import BadInput
from quartet.datasets.reading.text_files import is_utf8, lines_of


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The line of each object, counted from 1, and the object; numbers are text, so that they keep their digits.

    Raises:
        BadInput: the file cannot be read, or a line is no JSON object; the message gives its number.
    """
    for number, line in enumerate(lines_of(path), start=1):
        if line.strip():
            yield number, _json_object(path, number, line)


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise BadInput(f"{path}: row {number}: two values have one name")
        return found

    try:
        found = json.loads(line, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=unique)
        is_whole = "\\ud" not in line.lower() or is_utf8(json.dumps(found, ensure_ascii=False))
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}: row {number}: is not JSON: {error.msg} (column {error.colno})") from error
    except RecursionError as error:
        raise BadInput(f"{path}: row {number}: is nested too deeply") from error
    if not is_whole:
        raise BadInput(
            f"{path}: row {number}: holds half of a character, such as \\ud83d without its second half; remove it"
        )
    if not isinstance(found, dict):
        raise BadInput(f'{path}: row {number}: is not a JSON object, as {{"text": …}}')
    return found
