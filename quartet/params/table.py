"""The table of every setting, generated from the sections: name, default, range, meaning."""

import dataclasses
import typing
from collections.abc import Iterator

from quartet.params.fields import Rule
from quartet.params.sections import Params


def every_setting(kind: type = Params, where: str = "") -> Iterator[tuple[str, object, str, str]]:
    """`(dotted name, default, allowed values, meaning)` of each setting, in the order of the sections."""
    annotations = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name = where + field.name
        if dataclasses.is_dataclass(annotations[field.name]):
            yield from every_setting(annotations[field.name], name + ".")
        else:
            rule: Rule = field.metadata["rule"]
            yield name, field.default, rule.allowed(annotations[field.name]), rule.meaning


def settings_table() -> str:
    """The settings as a Markdown table."""
    lines = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    for name, default, allowed, meaning in every_setting():
        shown = {"None": "null", "True": "true", "False": "false"}.get(str(default), default)
        lines.append(f"| `{name}` | `{shown}` | {allowed} | {meaning} |")
    return "\n".join(lines) + "\n"
