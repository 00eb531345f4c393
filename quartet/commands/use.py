"""`python -m quartet use PRESET… --with SETTING=VALUE`: write settings into `params.yaml`."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors
from quartet.params.fields import Setting
from quartet.params.reading import BadSettings


def use(
    presets: Annotated[
        list[str] | None, typer.Argument(help="Names of presets, applied in this order; none lists them.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--with", help="A further setting, such as train_cnn.steps=400; may be given several times."),
    ] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="First set everything back to its default.")] = False,
    params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml"),
) -> None:
    """Write the settings of presets into params.yaml and print what changed; `dvc repro` then builds it.

    A preset sets whole sections: what it does not name in them goes back to its default. Comments stay.
    """
    with clear_errors("use"):
        from quartet.artifacts.writing import write_text
        from quartet.params.editing import changed_yaml, flattened
        from quartet.params.fields import every_setting
        from quartet.params.reading import read_yaml
        from quartet.settings import preset, preset_file, preset_names, schema, settings_of

        if not (presets or changes or defaults):
            typer.echo("\n".join(f"{name:22} {title_of(preset_file(name))}" for name in preset_names()))
            return
        known = {setting.name: setting for setting in every_setting(schema())}
        wanted = {name: setting.default for name, setting in known.items()} if defaults else {}
        for name in presets or ():
            preset(name)  # says what is wrong with it
            given = flattened(read_yaml(preset_file(name)))
            wanted |= {key: known[key].default for key in beside(given, known)} | given
        wanted |= dict(parsed(text, known) for text in changes or ())
        before = flattened(read_yaml(params))
        text, content = changed_yaml(params, wanted)
        settings_of(content, params)
        write_text(params, text)
        changed = {key: value for key, value in flattened(content).items() if before.get(key) != value}
        for key, value in changed.items():
            typer.echo(f"{key}: {shown(before[key]) if key in before else '(not set)'} → {shown(value)}")
        typer.echo(f"{params}: {len(changed)} setting{'s' * (len(changed) != 1)} changed")


def title_of(preset: Path) -> str:
    """The first sentence of a preset's head."""
    return preset.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def beside(given: Mapping[str, object], known: Mapping[str, Setting]) -> Iterator[str]:
    """The settings of all sections in which a preset names some; sources of data stand alone."""
    sections = {section_of(name) for name in given}
    return (name for name in known if section_of(name) in sections - {None})


def section_of(name: str) -> str | None:
    """The section that a preset sets as a whole: `train_cnn`, `preprocess.images`, `evaluate.lm`."""
    first, *rest = name.split(".")
    if first.startswith("train_"):
        return first
    return f"{first}.{rest[0]}" if first in ("preprocess", "evaluate") and len(rest) > 1 else None


def parsed(text: str, known: Mapping[str, Setting]) -> tuple[str, object]:
    """Name and value of `SETTING=VALUE`; a setting that takes text takes whatever stands behind the sign.

    Raises:
        BadSettings: there is no such setting, or no value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    name, sign, value = text.partition("=")
    if not sign:
        raise BadSettings(Path("--with"), [f"found {text!r}, expected SETTING=VALUE"])
    if name not in known:
        raise BadSettings(Path("--with"), [f"there is no setting {name!r}; `python -m quartet settings` lists them"])
    if known[name].takes_only(str) and value != "null":
        return name, value
    try:
        return name, YAML(typ="safe").load(io.StringIO(value))
    except YAMLError as error:
        raise BadSettings(Path("--with"), [f"{name}: found {value!r}, allowed is {known[name].allowed}"]) from error


def shown(value: object) -> str:
    """A value as YAML has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
