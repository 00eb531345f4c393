"""Parse the ranges and choices of settings that a search tries."""

import math
import re
from collections.abc import Mapping
from typing import Any

from quartet.artifacts.errors import BadInput, listed
from quartet.families import Family
from quartet.params.fields import Setting, every_setting
from quartet.settings import schema

# setting → ("log", low, high), ("linear", low, high), ("linear", low, high, step) or ("choices", values…)
Space = dict[str, tuple[Any, ...]]
_NUMBER = r"(-?(?:\d+(?:\.\d+)?|\.\d+)(?:e-?\d+)?)"
_RANGE = re.compile(rf"(log:)?{_NUMBER}\.\.{_NUMBER}(?::{_NUMBER})?")


def parse(ranges: list[str], family: Family) -> Space:
    """Parse texts such as `train_cnn.width=16..64` into a search space.

    Raises:
        BadInput: there is no such setting, the family's training does not read it, the range is malformed, or one of
            its values is not allowed.
    """
    known = {setting.name: setting for setting in every_setting(schema())}
    space: Space = {}
    for text in ranges:
        name, _, values = text.partition("=")
        if name in space:
            raise BadInput(f"{text!r}: {name} is given twice")
        if name not in known:
            raise BadInput(f"{text!r}: there is no setting {name!r}; `python -m quartet settings` lists them")
        part, _, _ = name.partition(".")
        if part == "evaluate" or (part.startswith("train_") and part != family.training_section):
            raise BadInput(f"{text!r}: the training of {family.key} does not read {name}; trials would not differ")
        space[name] = _tried(text, values, known[name])
    return space


def _tried(text: str, values: str, setting: Setting) -> tuple[Any, ...]:
    """The range or choices after the sign of equality of `text`."""
    if match := _RANGE.fullmatch(values):
        written, whole = [number for number in match.groups()[1:] if number], setting.takes_only(int)
        if whole and re.search(r"[.e]", "".join(written)):
            raise BadInput(f"{text!r}: {setting.name} takes whole numbers")
        low, high, *step = (int(number) if whole else float(number) for number in written)
        if not low < high or (match[1] and low <= 0):
            raise BadInput(f"{text!r}: a range is low..high with low below high, and low above 0 for log:")
        if step and (match[1] or not _is_whole((high - low) / step[0] if step[0] > 0 else 0.5)):
            raise BadInput(
                f"{text!r}: a step is above 0, divides the distance of low and high, and does not go with log:"
            )
        # A bound that is itself not allowed may end a range: numbers next to it are. Steps include it.
        ends = {end for end in (low, high) if step or end not in (setting.rule.above, setting.rule.below)}
        _refuse_others(text, setting, {str(end): end for end in sorted(ends)})
        return ("log" if match[1] else "linear", low, high, *step)
    choices = [value for value in values.split(",") if value]
    if len(choices) < 2:
        forms = ("low..high", "low..high:step", "log:low..high", "one,other")
        raise BadInput(f"{text!r}: expected {listed([f'SETTING={form}' for form in forms])}")
    _refuse_others(text, setting, {choice: _meant(choice, setting) for choice in choices})
    return ("choices", *choices)


def _is_whole(number: float) -> bool:
    return math.isclose(number, round(number), rel_tol=1e-9)


def _refuse_others(text: str, setting: Setting, values: Mapping[str, object]) -> None:
    """Refuse values that the setting does not accept; `values` maps what was written to what it means."""
    for written, value in values.items():
        if not setting.rule.accepts(value, setting.annotation):
            raise BadInput(f"{text!r}: found {written}, allowed is {setting.allowed}")


def _meant(text: str, setting: Setting) -> object:
    """The value that a text on the command line means, read as YAML unless the setting takes only text."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if setting.takes_only(str) and text != "null":
        return text
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError):
        return text
