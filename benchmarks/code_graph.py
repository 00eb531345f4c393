"""Which stages a change of code reruns: `python -m benchmarks.code_graph [FILE]`.

Prints how many trainings, evaluations, preparations and downloads a changed line of code reruns, on average over all
lines, according to `dvc.yaml`; with a FILE, it prints the stages that this file reruns. A stage also reruns if a stage
reruns whose output it reads. Takes about a second. The tests compare the graph with the imports.
"""

import ast
import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from ruamel.yaml import YAML

from quartet.families import BRING_WEIGHTS, FAMILIES, ITEMS

TOP = Path(__file__).parents[1]


@dataclass(frozen=True)
class Stage:
    """A stage of `dvc.yaml`, with its templates filled in.

    Attributes:
        name: such as `evaluate@cnn`.
        command: what it runs.
        deps: paths that it reads.
        outs: paths that it writes.
        params: dotted names of the settings that it reads.
    """

    name: str
    command: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]

    def reads(self, path: str) -> bool:
        """Whether it depends on a file, or on a folder that contains it."""
        return any(_holds(dep, path) for dep in self.deps)


def stages(top: Path = TOP) -> list[Stage]:
    """All stages of `dvc.yaml`; a `foreach` gives one stage per key."""
    found = []
    for name, block in YAML(typ="safe").load((top / "dvc.yaml").read_text())["stages"].items():
        if "foreach" in block:
            for key, item in block["foreach"].items():
                found.append(_stage(f"{name}@{key}", block["do"], {"key": key, **dict(_flat(item))}))
        else:
            found.append(_stage(name, block, {}))
    return found


def _flat(item: Mapping[str, str | list[str]]) -> Iterator[tuple[str, str]]:
    """The template names of an item with their values: `item.field`, or `item.field[0]`, … for a list."""
    for field, value in item.items():
        if isinstance(value, str):
            yield f"item.{field}", value
        else:
            yield from ((f"item.{field}[{place}]", entry) for place, entry in enumerate(value))


def _stage(name: str, block: Mapping, values: Mapping[str, str]) -> Stage:
    def filled(entry: str | Mapping) -> str:
        text = entry if isinstance(entry, str) else next(iter(entry))
        return re.sub(r"\$\{([\w.\[\]]+)\}", lambda match: values[match[1]], text)

    outs = itertools.chain(*(block.get(kind, ()) for kind in ("outs", "metrics", "plots")))
    return Stage(
        name,
        filled(block["cmd"]),
        tuple(map(filled, block["deps"])),
        tuple(map(filled, outs)),
        tuple(map(filled, block.get("params", ()))),
    )


def reruns(path: str, graph: list[Stage]) -> set[str]:
    """The stages that a changed file reruns: those that read it, and those that read the outputs of these."""
    hit = {stage.name for stage in graph if stage.reads(path)}
    while True:
        written = [out for stage in graph if stage.name in hit for out in stage.outs]
        more = {
            stage.name
            for stage in graph
            if any(_holds(dep, out) or _holds(out, dep) for dep, out in itertools.product(stage.deps, written))
        }
        if more <= hit:
            return hit
        hit |= more


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def lines_of_code(top: Path = TOP) -> dict[str, int]:
    """The number of lines of every file that a stage could depend on."""
    files = [*top.glob("quartet/**/*.py"), *top.glob("quartet/**/*.jinja"), *top.glob("stages/*.py")]
    return {path.relative_to(top).as_posix(): len(path.read_text().splitlines()) for path in sorted(files)}


def direct_imports(path: Path) -> set[Path]:
    """The project files that a file imports, also inside functions, but not in `if TYPE_CHECKING` blocks."""
    found: set[Path] = set()
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {file for name in names if (file := file_of(name))}
    return found


def file_of(module: str) -> Path | None:
    """The file of a module, if it is part of the project."""
    place = TOP / module.replace(".", "/")
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()), None)


@functools.cache
def code_of(stage: Stage) -> frozenset[str]:
    """The project files that can change a stage's outputs: its script and everything that it imports.

    Code that the script loads through the tables of `families.py` is included. Imports are not followed into
    `tracking/`, which changes no output; into `families.py` and `settings.py`, which import every family; and into the
    settings of families that the stage does not use. `__init__.py` files without imports are left out.
    """
    closed: set[Path] = set()
    names = list(named_code(stage))
    packages = {name.split(".")[1] for name in names}
    opened = {file for name in names if (file := file_of(name.partition(":")[0]))}
    opened.add(TOP / (stage.command.split()[2].replace(".", "/") + ".py"))
    while opened:
        file = opened.pop()
        closed.add(file)
        opened |= {path for path in direct_imports(file) - closed if not _is_left_out(path, packages)}
    return frozenset(
        path.relative_to(TOP).as_posix() for path in closed if path.name != "__init__.py" or direct_imports(path)
    )


def named_code(stage: Stage) -> Iterator[str]:
    """The code that `families.py` lists for a stage, as `module:name`."""
    verb, _, key = stage.name.partition("@")
    if stage.name == "download@weights":
        yield BRING_WEIGHTS
        for family in FAMILIES.values():
            if family.published_weights:
                yield from (family.published_weights, family.sections[family.training_section])
    elif verb == "download":
        yield from (ITEMS[key].source, ITEMS[key].download)
    elif verb == "preprocess":
        yield from (ITEMS[key].settings, ITEMS[key].prepare)
    elif verb == "evaluate":
        family = FAMILIES[key]
        sections = {name: place for other in FAMILIES.values() for name, place in other.sections.items()}
        yield from (family.evaluation, family.networks, *(sections[name] for name in family.evaluation_reads))
    elif verb.startswith("train-"):
        family = FAMILIES[verb.removeprefix("train-")]
        yield from (family.plan, family.sections[family.training_section])


def _is_left_out(path: Path, packages: set[str]) -> bool:
    place = path.relative_to(TOP).parts
    if place[:2] == ("quartet", "tracking") or place in (("quartet", "families.py"), ("quartet", "settings.py")):
        return True
    return place[-1] == "settings.py" and place[1] not in packages


def mean_reruns(kinds: Mapping[str, str], top: Path = TOP) -> dict[str, float]:
    """How many stages of each kind a changed line of code reruns on average; `kinds` maps kinds to name prefixes."""
    lines, graph = lines_of_code(top), stages(top)
    total = sum(lines.values())
    found = {path: reruns(path, graph) for path in lines}
    return {
        kind: sum(count * sum(name.startswith(begins) for name in found[path]) for path, count in lines.items()) / total
        for kind, begins in kinds.items()
    }


KINDS = {"downloads": "download@", "preparations": "preprocess@", "trainings": "train-", "evaluations": "evaluate@"}


def main(file: Annotated[str | None, typer.Argument(help="A file of the project; by default all files.")] = None):
    """Print which stages, or how many on average, a change of code reruns."""
    if file is not None:
        print("\n".join(sorted(reruns(file, stages()))))
        return
    for kind, mean in mean_reruns(KINDS).items():
        print(f"{kind}: {mean:.2f}")


if __name__ == "__main__":
    typer.run(main)
