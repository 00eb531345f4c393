"""`python -m quartet inspect ITEM SOURCE`: look at data of your own before the pipeline reads it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quartet.artifacts.errors import BadInput, clear_errors, listed
from quartet.commands.use import format_yaml, parse, write_settings
from quartet.families import ITEMS, Item, ItemKey
from quartet.params.fields import Setting
from quartet.params.reading import BadSettings

if TYPE_CHECKING:
    from quartet.datasets.inspection import Inspection

ROWS = 60  # of the table of classes


def inspect(
    item: Annotated[ItemKey, typer.Argument(help="What to look at.")],
    source: Annotated[
        str, typer.Argument(help="Data of your own: a path, or KIND:PATH as in the settings, such as folder:PATH.")
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="SETTING=VALUE",
            help="A setting to try, such as preprocess.sequences.decimal=comma; may be given several times.",
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Set the source and these settings in params.yaml.")] = False,
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
) -> None:
    """Print what the pipeline would read from data of your own: counts, splits, sizes, duplicates, what is left out.

    It takes seconds, and nothing is written without --write. Data that cannot be used are refused
    with the reason and exit code 2.
    """
    with clear_errors(f"inspect {item.value}"):
        from pkgutil import resolve_name

        from quartet.params.editing import changed_yaml
        from quartet.params.fields import every_setting
        from quartet.settings import schema, settings_of

        described = ITEMS[item.value]
        known = {setting.name: setting for setting in every_setting(schema())}
        source = source_of_own(described, source)
        wanted = {f"download.{item.value}": source, **dict(_preparing(described, changes or [], known))}
        settings = settings_of(changed_yaml(params, wanted)[1], params)
        inspection = resolve_name(described.inspect)(source, settings.preparation(item.value))
        for line in lines_of(inspection):
            typer.echo(line)
        section = f"preprocess.{item.value}."
        used = {name: settings.section(name) for name in known if name.startswith(section)}
        changed = {name: value for name, value in used.items() if value != known[name].default}
        typer.echo("\nsettings")
        for name, value in {f"download.{item.value}": source, **changed}.items():
            typer.echo(f"  {name}: {format_yaml(value)}")
        if unnoticed := settings.unnoticed(item.value):
            typer.echo(f"\n{unnoticed}")
        if write:
            typer.echo()
            write_settings(params, wanted)
        else:
            typer.echo(f"--write sets them in {params}")


def source_of_own(item: Item, text: str) -> str:
    """The value of `download.ITEM` that `text` means: itself, or a path whose ending tells the kind.

    Raises:
        BadInput: it names no data of a user's own, or a path that can be read in several ways or in none.
    """
    from quartet.artifacts.paths import user_path

    kind, _, named = text.partition(":")
    if kind in item.own and named:
        return text
    path = user_path(text)
    if not path.exists():
        raise BadInput(f"{text}: no such file or folder; expected is {_forms(item.own)}, or a path that exists")
    kinds = [kind for kind, endings in item.own.items() if _ending(path) in endings]
    if len(kinds) != 1:
        raise BadInput(f"{text}: its ending does not tell how to read it; give {_forms(kinds or item.own)}")
    return f"{kinds[0]}:{text}"


def _forms(kinds: Iterable[str]) -> str:
    return " or ".join(f"{kind}:PATH" for kind in kinds)


def _ending(path: Path) -> str:
    """The ending of a file's name before that of a packed one; `/` for a folder."""
    from quartet.datasets.reading.text_files import PACKED

    if path.is_dir():
        return "/"
    return (Path(path.stem) if path.suffix.lower() in PACKED else path).suffix.lower()


def _preparing(item: Item, changes: list[str], known: Mapping[str, Setting]) -> Iterator[tuple[str, object]]:
    for text in changes:
        name, value = parse(text, known)
        if not name.startswith(f"preprocess.{item.key}."):
            raise BadSettings(Path("--with"), [f"{name}: found a setting that is not one of preprocess.{item.key}"])
        yield name, value


def lines_of(inspection: "Inspection") -> Iterator[str]:
    """An inspection as lines of text."""
    report = inspection.splits
    groups = {} if report["groups"] is None else {"groups": f"{report['groups']:,}"}
    facts = {**inspection.facts, **groups, "splits": report["origin"]}
    if not report["copies"]:
        facts["duplicates"] = "none"
    width = max(map(len, facts))
    yield from (f"{name:{width}}  {value}" for name, value in facts.items())
    yield ""
    yield from _table(inspection.counts)
    said = [f"warning: {warning}" for warning in report["warnings"]]
    said += [f"left out ({reason}): {listed(names)}" for reason, names in inspection.left_out.items() if names]
    said += [f"note: {note}" for note in inspection.notes]
    if said:
        yield from ("", *said)


def _table(counts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """A row per class, or per what is counted, and a column per split."""
    *rows, last = counts.items()
    shown = [*rows[:ROWS], last]
    width = max(len(name) for name, _ in shown)
    columns = list(last[1])
    yield " ".join([" " * width, *(f"{column:>12}" for column in columns)])
    for name, row in shown:
        if name == last[0] and len(rows) > ROWS:
            yield f"and {len(rows) - ROWS} more"
        yield " ".join([f"{name:{width}}", *(f"{row[column]:12,}" for column in columns)])
