"""A setting: a dataclass field that carries its own default, range and line of documentation."""

import dataclasses
import math
import types
import typing


@dataclasses.dataclass(frozen=True)
class Rule:
    """What values a setting accepts, beside its type.

    `choices` are whole values; `prefixes` are kinds such as `folder:` that a value follows after the colon.
    Bounds are inclusive unless named `above` or `below`.
    """

    meaning: str
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def allowed(self, annotation: object) -> str:
        """The accepted values in words, for error messages and the settings table."""
        kinds, optional = _kinds(annotation)
        if self.choices or self.prefixes:
            words = [f"`{choice}`" for choice in self.choices] + [f"`{prefix}PATH`" for prefix in self.prefixes]
            text = ", ".join(words)
        else:
            text = " or ".join(_NAMES[kind] for kind in kinds)
            bounds = [
                f"{sign} {bound:.15g}"
                for sign, bound in (("≥", self.at_least), (">", self.above), ("≤", self.at_most), ("<", self.below))
                if bound is not None
            ]
            text = " ".join([text, ", ".join(bounds)]).strip()
        return f"{text}, or null" if optional else text

    def accepts(self, value: object, annotation: object) -> bool:
        """Whether `value`, as YAML gave it, is of the annotated type and within the rule."""
        kinds, optional = _kinds(annotation)
        if value is None:
            return optional
        if isinstance(value, bool):
            return bool in kinds
        if isinstance(value, str):
            if str not in kinds:
                return False
            if not (self.choices or self.prefixes):
                return value != ""
            return value in self.choices or any(value.startswith(p) and len(value) > len(p) for p in self.prefixes)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        if float not in kinds and not (int in kinds and isinstance(value, int)):
            return False
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


_NAMES = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def _kinds(annotation: object) -> tuple[tuple[type, ...], bool]:
    members = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return tuple(m for m in members if m is not types.NoneType), types.NoneType in members


def setting(default: object, meaning: str, **rule: object) -> typing.Any:
    """A dataclass field with its `Rule`; keyword arguments are those of `Rule`."""
    return dataclasses.field(default=default, metadata={"rule": Rule(meaning, **rule)})


def section(kind: type) -> typing.Any:
    """A dataclass field that holds a nested section with its own defaults."""
    return dataclasses.field(default_factory=kind)


def retuned(kind: type, name: str, default: object) -> typing.Any:
    """The setting `name` of section `kind` with another default."""
    return dataclasses.field(default=default, metadata=kind.__dataclass_fields__[name].metadata)
