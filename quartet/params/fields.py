"""A setting: a dataclass field with a default, a range and one line of documentation."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator

LARGEST = 1e18  # of any number in the settings: what is larger overflows where it is calculated with


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which values a setting accepts, in addition to its type.

    `choices` are complete values; `prefixes`, such as `folder:`, are followed by `what`. `at_least` and `at_most` are
    inclusive bounds, `above` and `below` exclusive ones.
    """

    meaning: str
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    what: str = "PATH"

    def allowed(self, annotation: object) -> str:
        """Describe the accepted values, for error messages and the settings table."""
        kinds, optional = kinds_of(annotation)
        if self.choices or self.prefixes:
            words = [f"`{choice}`" for choice in self.choices] + [f"`{prefix}{self.what}`" for prefix in self.prefixes]
            text = ", ".join(words)
        if set(kinds) != {str} or not (self.choices or self.prefixes):
            numbers = " or ".join(_NAMES[kind] for kind in kinds if kind is not str or not self.choices)
            bounds = [
                f"{sign} {bound:.15g}"
                for sign, bound in (("≥", self.at_least), (">", self.above), ("≤", self.at_most), ("<", self.below))
                if bound is not None
            ]
            numbers = " ".join([numbers, ", ".join(bounds)]).strip()
            text = f"{text}, or a {numbers}" if self.choices or self.prefixes else numbers
        return f"{text}, or null" if optional else text

    def accepts(self, value: object, annotation: object) -> bool:
        """Whether `value`, as read from YAML, has the annotated type and satisfies the rule."""
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
        if not isinstance(value, int | float) or not abs(value) <= LARGEST:  # which neither NaN nor infinity is
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
        """A description of the accepted values."""
        return self.rule.allowed(self.annotation)

    def takes_only(self, kind: type) -> bool:
        """Whether this type is the only one allowed, apart from null."""
        return kinds_of(self.annotation)[0] == (kind,)


def setting(default: object, meaning: str, **rule: typing.Any) -> typing.Any:
    """A dataclass field with a `Rule`, which takes the keyword arguments."""
    return dataclasses.field(default=default, metadata={"rule": Rule(meaning, **rule)})


def section(kind: type) -> typing.Any:
    """A dataclass field that holds a nested section."""
    return dataclasses.field(default_factory=kind)


def with_default(kind: type, name: str, default: object) -> typing.Any:
    """The setting `name` of section `kind` with another default."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    return dataclasses.field(default=default, metadata=fields[name].metadata)


def changed(given: object, names: Iterable[str]) -> list[str]:
    """Those settings of a section, among `names`, that differ from their defaults."""
    defaults = type(given)()
    return [name for name in names if getattr(given, name) != getattr(defaults, name)]


def say_idle(section: str, names: Iterable[str], by: str) -> None:
    """Print that these settings of a section, if there are any, are not used `by` what is trained."""
    if names := [f"{section}.{name}" for name in names]:
        print(f"{', '.join(names)}: not used by {by}", flush=True)


def every_setting(kind: type, where: str = "") -> Iterator[Setting]:
    """The settings of section `kind` and its nested sections, in the order of declaration."""
    annotations = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, annotation = where + field.name, annotations[field.name]
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            yield from every_setting(annotation, name + ".")
        else:
            yield Setting(name, field.default, annotation, field.metadata["rule"])
