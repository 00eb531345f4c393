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
        list[str] | None, typer.Argument(help="Presets to apply, in this order; without any argument, list them.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--with", help="Another setting, such as train_cnn.steps=400; may be given several times."),
    ] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="First reset all settings to their defaults.")] = False,
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
) -> None:
    """Write the settings of presets into params.yaml and print what changed; then run `dvc repro`.

    A preset sets whole sections: settings that it does not list in them are reset to their defaults. Comments stay.
    """
    with clear_errors("use"):
        from quartet.params.editing import flattened
        from quartet.params.fields import every_setting
        from quartet.params.reading import read_yaml
        from quartet.settings import preset, preset_file, preset_names, schema

        if not (presets or changes or defaults):
            typer.echo("\n".join(f"{name:22} {title_of(preset_file(name))}" for name in preset_names()))
            return
        known = {setting.name: setting for setting in every_setting(schema())}
        wanted = {name: setting.default for name, setting in known.items()} if defaults else {}
        for name in presets or ():
            preset(name)  # raises if the preset has errors
            given = flattened(read_yaml(preset_file(name)))
            wanted |= {key: known[key].default for key in settings_of_same_sections(given, known)} | given
        wanted |= dict(parse(text, known) for text in changes or ())
        write_settings(params, wanted)


def write_settings(params: Path, wanted: Mapping[str, object]) -> None:
    """Write settings into the file `params`, and print what changed.

    Raises:
        BadSettings: they, or others in the file, are wrong; nothing is written.
    """
    from quartet.artifacts.writing import write_text
    from quartet.params.editing import changed_yaml, flattened
    from quartet.params.reading import read_mapping
    from quartet.settings import settings_of

    before = flattened(read_mapping(params))
    text, content = changed_yaml(params, wanted)
    settings_of(content, params)
    write_text(params, text)
    changed = {key: value for key, value in flattened(content).items() if before.get(key) != value}
    for key, value in changed.items():
        typer.echo(f"{key}: {format_yaml(before[key]) if key in before else '(not set)'} → {format_yaml(value)}")
    typer.echo(f"{params}: {len(changed)} setting{'s' * (len(changed) != 1)} changed")


def title_of(preset: Path) -> str:
    """The first comment line of a preset."""
    return preset.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def settings_of_same_sections(given: Mapping[str, object], known: Mapping[str, Setting]) -> Iterator[str]:
    """All settings of the sections of which a preset sets any; `download` settings do not form a section."""
    sections = {section_of(name) for name in given}
    return (name for name in known if section_of(name) in sections - {None})


def section_of(name: str) -> str | None:
    """The section of a setting that presets set as a whole, such as `train_cnn`, `preprocess.images`, `evaluate.lm`."""
    first, *rest = name.split(".")
    if first.startswith("train_"):
        return first
    return f"{first}.{rest[0]}" if first in ("preprocess", "evaluate") and len(rest) > 1 else None


def parse(text: str, known: Mapping[str, Setting]) -> tuple[str, object]:
    """Parse `SETTING=VALUE` into name and value; settings of text take everything after the sign literally.

    Raises:
        BadSettings: there is no such setting, or the value is missing or malformed.
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
    except (YAMLError, ValueError, RecursionError) as error:
        raise BadSettings(Path("--with"), [f"{name}: found {value!r}, allowed is {known[name].allowed}"]) from error


def format_yaml(value: object) -> str:
    """Format a value as YAML; what a terminal cannot print is escaped."""
    if value is None:
        return "null"
    if isinstance(value, str) and not value.isprintable():
        return repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
