"""Read JSON objects, and check their shape: whatever is in a file, the message names the file and the key.

A shape is a type (`float` takes whole numbers too, `object` anything), a tuple of alternatives with None for null, a
list of one shape, a mapping `{str: shape}` of any names, or a mapping of the names that must be there to their shapes.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

LONGEST_SHOWN = 60  # characters of a wrong value in a message
DIGITS = 19  # the most digits of a whole number; what has more overflows as soon as somebody calculates with it
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object"}


def parse_object(text: str | bytes, where: object, remedy: str) -> dict[str, Any]:
    """The JSON object in a text; messages name it as `where` and end with `remedy`.

    Raises:
        ValueError: it is no JSON object, is nested too deeply, or holds a number that is not finite or has more digits
            than are calculated with.
    """
    try:
        content = json.loads(text, parse_int=_whole, parse_float=_number, parse_constant=_number)
    except RecursionError as error:
        raise ValueError(f"{where} is not valid JSON (nested too deeply); {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{where} is not valid JSON ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{where}: found {shown(content)}, wanted a JSON object; {remedy}")
    return content


def check_shape(content: object, shape: Any, where: object, remedy: str) -> None:
    """Check that JSON has a shape; messages name it as `where` and end with `remedy`.

    Raises:
        ValueError: a name is missing, or a value is of another kind; the message says which.
    """
    for name, found, wanted in _mismatches(content, shape, ""):
        place = f"{where}: {name}" if name else f"{where}"
        raise ValueError(f"{place}: found {found}, wanted {wanted}; {remedy}")


def shown(value: object) -> str:
    """A value as it stands in a message: as JSON has it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _mismatches(content: object, shape: Any, name: str) -> Any:
    """Yield the name, what was found, and what was wanted, of every value that is of another kind."""
    if isinstance(shape, tuple):
        if not any(next(_mismatches(content, each, name), None) is None for each in shape):
            yield name, shown(content), " or ".join(_described(each) for each in shape)
    elif isinstance(shape, list):
        if not isinstance(content, list):
            yield name, shown(content), _described(shape)
            return
        for number, each in enumerate(content):
            yield from _mismatches(each, shape[0], f"{name}[{number}]")
    elif isinstance(shape, Mapping):
        if not isinstance(content, dict):
            yield name, shown(content), _described(shape)
            return
        any_name = shape.get(str)
        for key, each in shape.items() if any_name is None else dict.fromkeys(content, any_name).items():
            inner = f"{name}.{key}" if name else key
            if key in content:
                yield from _mismatches(content[key], each, inner)
            else:
                yield inner, "nothing", _described(each)
    elif not _is_a(content, shape):
        yield name, shown(content), _described(shape)


def _is_a(content: object, kind: type | None) -> bool:
    if kind is None or kind is object:
        return content is None or kind is object
    if isinstance(content, bool):
        return kind is bool
    return isinstance(content, int | float if kind is float else kind)


def _described(shape: Any) -> str:
    if isinstance(shape, tuple):
        return " or ".join(_described(each) for each in shape)
    if isinstance(shape, list):
        return "a list"
    if isinstance(shape, Mapping):
        return "an object"
    return "null" if shape is None else _NAMES.get(shape, "a value")


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > DIGITS:
        raise ValueError(f"a whole number of {len(text.lstrip('-'))} digits; allowed are {DIGITS}")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:LONGEST_SHOWN]}; allowed are finite ones")
    return value
