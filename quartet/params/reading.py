"""Read settings from YAML 1.2, which DVC reads too, and report all errors together."""

import dataclasses
import difflib
import reprlib
import typing
from pathlib import Path

SHOWN = 50  # errors in a message
Section = typing.TypeVar("Section")


class BadSettings(ValueError):
    """One or more settings are wrong; `str()` lists them, one per line."""

    def __init__(self, path: Path, errors: list[str]):
        self.errors = errors
        more = [f"and {len(errors) - SHOWN:,} more"] if len(errors) > SHOWN else []
        lines = "\n".join(f"  {error}" for error in [*errors[:SHOWN], *more])
        super().__init__(f"{path}: {len(errors)} bad setting{'s' * (len(errors) > 1)}\n{lines}")


def read_file(kind: type[Section], path: Path) -> Section:
    """Read section `kind` from a YAML file; missing settings keep their defaults.

    Raises:
        BadSettings: the file is missing or is not YAML, or a key is unknown, of the wrong type or out of its range.
    """
    errors: list[str] = []
    section = build(kind, read_yaml(path), "", errors)
    if errors:
        raise BadSettings(path, errors)
    return section


def read_yaml(path: Path) -> typing.Any:
    """Read a YAML file; an empty file gives an empty mapping.

    Raises:
        BadSettings: the file is missing or is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        given = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = f"cannot be read: {error.strerror}; run from the top of the checkout"
        raise BadSettings(path, [reason]) from error
    except RecursionError as error:
        raise BadSettings(path, ["is nested too deeply"]) from error
    except (YAMLError, ValueError) as error:  # ValueError: no UTF-8, a date that does not exist, thousands of digits
        raise BadSettings(path, [f"is not valid YAML 1.2: {' '.join(str(error).split())}"]) from error
    return {} if given is None else given


def read_mapping(path: Path) -> dict[str, typing.Any]:
    """Read a YAML file of settings.

    Raises:
        BadSettings: the file is missing, is not YAML, or holds anything but a mapping.
    """
    given = read_yaml(path)
    if not isinstance(given, dict):
        raise BadSettings(path, [f"the file: found {brief(given)}, expected a mapping of settings"])
    return given


def section_of(kind: type[Section], given: dict) -> Section:
    """Build section `kind` from the given settings; missing ones keep their defaults.

    Raises:
        ValueError: a setting is unknown, of the wrong type or out of its range.
    """
    errors: list[str] = []
    section = build(kind, given, "", errors)
    if errors:
        raise ValueError("; ".join(errors))
    return section


def build(kind: type[Section], given: object, where: str, errors: list[str]) -> Section:
    """Build section `kind` from the mapping `given`, and append a line to `errors` for each setting that is wrong."""
    if not isinstance(given, dict):
        errors.append(f"{where or 'the file'}: found {brief(given)}, expected a mapping of settings")
        return kind()
    fields = {field.name: field for field in dataclasses.fields(typing.cast(typing.Any, kind))}
    for key in given:
        if key not in fields:
            if len(errors) > SHOWN:  # to look for similar names takes time
                errors.append(f"{where}: an unknown key")
                continue
            key = key if isinstance(key, str) else brief(key)
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "allowed are " + ", ".join(fields)
            errors.append(f"{_join(where, key)}: unknown key; {hint}")
    values: dict[str, typing.Any] = {}
    annotations = typing.get_type_hints(kind)
    for name, field in fields.items():
        if name not in given:
            continue
        value, annotation = given[name], annotations[name]
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            values[name] = build(annotation, value, _join(where, name), errors)
            continue
        rule = field.metadata["rule"]
        if rule.accepts(value, annotation):
            exact = float if annotation in (float, float | None) and value is not None else lambda same: same
            values[name] = exact(value)
        else:
            errors.append(f"{_join(where, name)}: found {brief(value)}, allowed is {rule.allowed(annotation)}")
    return kind(**values)


def brief(value: object) -> str:
    """A value as it stands in a message, shortened: it may have hundreds of digits, or be nested without end."""
    return _BRIEF.repr(value)


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 200
_BRIEF.maxlong = 60
_BRIEF.maxlevel = 3  # by references, a few lines may stand for billions of values


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
