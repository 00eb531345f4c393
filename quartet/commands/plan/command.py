"""The command `plan`: the table that it prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, clear_errors
from quartet.families import FAMILIES, Family, FamilyKey

if TYPE_CHECKING:
    from quartet.commands.plan.measuring import Measured, Memory
    from quartet.commands.plan.projection import Projected
    from quartet.settings import Settings

NOTES = """\
Operations are those of matrix products, convolutions, attention and recurrent layers; operations on single elements
are not counted. Memory is that of tensors, and only the larger of the two in brackets is in use at one time. A process
has program and libraries too, and what its allocator keeps. Times are without the start of the stage and its pictures;
`patience` may end a training earlier."""
OTHER_NOTES = """\
Each process {holds}, takes its share of the batch and validates, with numbers
of the same format as here. The utilisation stands for all that keeps a GPU waiting, such as exchanging gradients."""


RUNTIME = ("runtime.device", "runtime.threads")
WHOLE = "holds and updates all weights, holds all data"
SHARDED = "holds and updates its share of the weights, holds all data"
UTILISATION = 0.4


def plan(
    family: Annotated[FamilyKey, typer.Argument(help="Which training.")],
    processes: Annotated[
        int | None, typer.Option(help="Of another machine: its GPUs, with a process and a part of the batch each.")
    ] = None,
    tflops: Annotated[
        float | None, typer.Option(help="Of another machine: 10¹² operations per second of a GPU, by its data sheet.")
    ] = None,
    utilisation: Annotated[
        float | None, typer.Option(help="The share of --tflops that a training reaches.", show_default="0.4")
    ] = None,
    price: Annotated[float | None, typer.Option(help="Of one GPU for an hour.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="SETTING=VALUE",
            help="A setting of this training to try, such as train_lm.width=768; may be given several times.",
        ),
    ] = None,
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
) -> None:
    """Print what a training takes, before it is started: parameters, operations, memory, time, cost.

    A few real steps and one validation are taken on this device, and thrown away. With --tflops, the same is worked out
    for a machine that is not here. Nothing is written.
    """
    with clear_errors(f"plan {family.value}"):
        from quartet.commands.plan.projection import Machine, projected
        from quartet.training.parallel.launch import wants_others

        if tflops is None and any(value is not None for value in (processes, price, utilisation)):
            raise BadInput("--tflops is missing: it says how fast a GPU of the other machine is, such as --tflops 400")
        utilisation = UTILISATION if utilisation is None else utilisation
        machine = None if tflops is None else Machine(1 if processes is None else processes, tflops, utilisation, price)
        chosen = FAMILIES[family.value]
        settings = _settings(chosen, params, changes or [])
        if machine and settings.training(family.value).max_seconds is not None:
            raise BadInput(
                f"{chosen.training_section}.max_seconds: makes the steps depend on the machine; with --tflops, set it "
                "to null, and steps to a number"
            )
        measured, device = _measured(chosen, settings)
        there = projected(measured, machine) if machine else None
        _print(f"{chosen.title} ({chosen.training_section})", device, measured, there)
        typer.echo(NOTES)
        if machine:
            of = f"{machine.processes} × {machine.tflops:g} TFLOP/s, {machine.utilisation:.0%} of it used"
            typer.echo(f"There: {of}.\n{OTHER_NOTES.format(holds=SHARDED if measured.sharded else WHOLE)}")
        if wants_others(settings.runtime):
            typer.echo(
                "Here is one process, whatever runtime.processes and runtime.nodes say; for several, give --tflops and "
                "--processes."
            )


def _settings(family: Family, params: Path, changes: list[str]) -> Settings:
    from quartet.commands.use import parse
    from quartet.params.editing import changed_yaml
    from quartet.params.fields import every_setting
    from quartet.params.reading import BadSettings
    from quartet.settings import read_settings, schema, settings_of

    if not changes:
        return read_settings(params)
    known = {setting.name: setting for setting in every_setting(schema())}
    wanted = dict(parse(text, known) for text in changes)
    for name in wanted:
        if not name.startswith(f"{family.training_section}.") and name not in RUNTIME:
            allowed = f"{family.training_section}, {', '.join(RUNTIME)}"
            raise BadSettings(Path("--with"), [f"{name}: found a setting that is not one of {allowed}"])
    return settings_of(changed_yaml(params, wanted)[1], params)


def _measured(family: Family, settings: Settings) -> tuple[Measured, str]:
    """The training on this device, and the device."""
    from quartet.artifacts.shapes import info_shape
    from quartet.artifacts.verification import read_sealed, restoring

    folder, stage = paths.processed(family.item), f"preprocess@{family.item}"
    if not (folder / "info.json").exists():
        raise ValueError(f"{folder}: there are no prepared data; run `dvc repro {stage}` first")
    info = read_sealed(folder / "info.json", info_shape(family.item), restoring(folder, stage))

    from quartet.commands.plan.measuring import measure
    from quartet.training.devices import describe_device, pick_device
    from quartet.training.seeding import seed_everything

    device = pick_device(settings.runtime)
    seed_everything(settings.seed)
    planning = resolve_name(family.plan)

    def build(training: Any) -> Any:
        return planning(training, seed=settings.seed, folder=folder, info=info, device=device)

    return measure(build, settings.training(family.key), seed=settings.seed, device=device), describe_device(device)


def _print(title: str, device: str, here: Measured, there: Projected | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("here", justify="right")
    if there:
        table.add_column("there, each process", justify="right")
    for section in (_of_size(here, there), _of_memory(here, there), _of_time(here, there)):
        for name, *cells in section:
            table.add_row(name, *cells[: 1 + bool(there)])
        table.add_section()
    console = Console()
    console.print(table)
    console.print(f"Here: {device}.", highlight=False)


def _of_size(here: Measured, there: Projected | None) -> Iterator[tuple[str, ...]]:
    share = there.examples / here.examples if there else 1
    times = f" × {here.accumulate}" if here.accumulate > 1 else ""
    yield "parameters", f"{here.parameters:,}", f"{here.parameters:,}"
    yield "steps", f"{here.steps:,}", f"{here.steps:,}"
    yield "validations", f"{here.validations:,}", f"{here.validations:,}"
    yield "examples per step", f"{here.examples:,}{times}", f"{there.examples:,}{times}" if there else ""
    yield "FLOPs per step, forward and backward", flops(here.work.batch), flops(here.work.batch * share)
    yield "FLOPs per step, update", flops(here.work.update), flops(there.update if there else 0)
    yield "FLOPs per validation", flops(here.work.validation), flops(here.work.validation)


def _of_memory(here: Measured, there: Projected | None) -> Iterator[tuple[str, ...]]:
    memories: list[Memory] = [here.memory, there.memory if there else here.memory]
    for name, field in (
        ("weights", "weights"),
        ("gradients", "gradients"),
        ("optimizer state", "optimizer"),
        ("moving average", "average"),
        ("kept weights", "kept"),
        ("data on the device", "data"),
        ("state to go back to", "good"),
        ("(activations of a step)", "activations"),
        ("(a validation)", "validation"),
        ("memory together", "total"),
    ):
        yield name, *(size(getattr(memory, field)) for memory in memories)
    yield "of the process, measured", size(here.process), ""


def _of_time(here: Measured, there: Projected | None) -> Iterator[tuple[str, ...]]:
    work = here.work.batch + here.work.update
    times = [(each.step_seconds, each.validation_seconds, each.seconds) for each in (here, there or here)]
    steps, validations, totals = zip(*times, strict=True)
    share = there.examples / here.examples if there else 1
    update = there.update if there else here.work.update
    rates = work / steps[0], (here.work.batch * share + update) / steps[1] if steps[1] else 0.0
    yield "steps per second", *(f"{1 / seconds:,.3g}" if seconds else "–" for seconds in steps)
    yield "rate", *(f"{flops(rate)}/s" for rate in rates)
    yield "a validation", *(duration(seconds) for seconds in validations)
    yield "time to the end", *(duration(seconds) for seconds in totals)
    if there and there.cost is not None:
        yield "cost, all processes", "", f"{there.cost:,.2f}"


def flops(count: float) -> str:
    """A number of operations: `1.5 GFLOP`."""
    return _scaled(count, ("", "k", "M", "G", "T", "P", "E")) + "FLOP"


def size(count: float) -> str:
    """A number of bytes: `1.5 MB`."""
    return _scaled(count, ("", "k", "M", "G", "T", "P", "E")) + "B"


def _scaled(number: float, prefixes: tuple[str, ...]) -> str:
    steps = 0
    while number >= 999.5 and steps < len(prefixes) - 1:
        number, steps = number / 1000, steps + 1
    return f"{number:.3g} {prefixes[steps]}"


def duration(seconds: float) -> str:
    """A time: `1.5 s`, `3 min 20 s`, `5 h 10 min`, `3 d 5 h`."""
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 3599.5:
        return "{} min {} s".format(*divmod(round(seconds), 60))
    if seconds < 86370:
        return "{} h {} min".format(*divmod(round(seconds / 60), 60))
    return "{:,} d {} h".format(*divmod(round(seconds / 3600), 24))
