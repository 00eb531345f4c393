"""Parse the ranges and choices of settings that a search tries."""

import re
from typing import Any

from quartet.families import Family
from quartet.params.fields import every_setting
from quartet.settings import schema

Space = dict[str, tuple[Any, ...]]  # setting → ("log" | "linear", low, high) or ("choices", values…)
_NUMBER = r"(-?(?:\d+(?:\.\d+)?|\.\d+)(?:e-?\d+)?)"
_RANGE = re.compile(rf"(log:)?{_NUMBER}\.\.{_NUMBER}")


def parse(ranges: list[str], family: Family) -> Space:
    """Parse texts such as `train_cnn.width=16..64` into a search space.

    Raises:
        ValueError: there is no such setting, the family's training does not read it, or the range is malformed.
    """
    known = {setting.name: setting for setting in every_setting(schema())}
    space: Space = {}
    for text in ranges:
        name, _, values = text.partition("=")
        if name not in known:
            raise ValueError(f"{text!r}: there is no setting {name!r}; `python -m quartet settings` lists them")
        part, _, _ = name.partition(".")
        if part == "evaluate" or (part.startswith("train_") and part != family.training_section):
            raise ValueError(f"{text!r}: the training of {family.key} does not read {name}; trials would not differ")
        match = _RANGE.fullmatch(values)
        if match:
            whole = known[name].takes_only(int)
            if whole and re.search(r"[.e]", match[2] + match[3]):
                raise ValueError(f"{text!r}: {name} takes whole numbers")
            low, high = (int(end) if whole else float(end) for end in match.groups()[1:])
            if not low < high or (match[1] and low <= 0):
                raise ValueError(f"{text!r}: a range is low..high with low below high, and low above 0 for log:")
            space[name] = ("log" if match[1] else "linear", low, high)
        elif len(choices := [value for value in values.split(",") if value]) > 1:
            space[name] = ("choices", *choices)
        else:
            raise ValueError(f"{text!r}: expected SETTING=low..high, SETTING=log:low..high or SETTING=one,other")
    return space
