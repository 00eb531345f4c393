"""A setting: a dataclass field that carries its own default, range and line of documentation."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator


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
        kinds, optional = kinds_of(annotation)
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
        kinds, optional = kinds_of(annotation)
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
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        if float not in kinds and not (int in kinds and isinstance(value, int)):
            return False
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


_NAMES: dict[type, str] = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def kinds_of(annotation: object) -> tuple[tuple[type, ...], bool]:
    """The types that an annotation such as `int | None` allows, and whether it allows None."""
    members = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return tuple(m for m in members if m is not types.NoneType), types.NoneType in members


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a section: its dotted name, default, type and rule."""

    name: str
    default: object
    annotation: object
    rule: Rule

    @property
    def allowed(self) -> str:
        """The accepted values in words."""
        return self.rule.allowed(self.annotation)

    def takes_only(self, kind: type) -> bool:
        """Whether every value but null is of this type."""
        return kinds_of(self.annotation)[0] == (kind,)


def setting(default: object, meaning: str, **rule: typing.Any) -> typing.Any:
    """A dataclass field with its `Rule`; keyword arguments are those of `Rule`."""
    return dataclasses.field(default=default, metadata={"rule": Rule(meaning, **rule)})


def section(kind: type) -> typing.Any:
    """A dataclass field that holds a nested section with its own defaults."""
    return dataclasses.field(default_factory=kind)


def retuned(kind: type, name: str, default: object) -> typing.Any:
    """The setting `name` of section `kind` with another default."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    return dataclasses.field(default=default, metadata=fields[name].metadata)


def every_setting(kind: type, where: str = "") -> Iterator[Setting]:
    """The settings of section `kind` and of those inside it, in the order in which they are declared."""
    annotations = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, annotation = where + field.name, annotations[field.name]
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            yield from every_setting(annotation, name + ".")
        else:
            yield Setting(name, field.default, annotation, field.metadata["rule"])
