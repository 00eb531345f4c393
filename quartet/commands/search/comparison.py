"""What makes the trials of a search comparable: equal code, settings and data, but for the settings that are tried."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, listed
from quartet.commands.search.ranges import Space
from quartet.families import Family
from quartet.params.editing import flattened
from quartet.tracking.dvc_state import locked_dependencies

if TYPE_CHECKING:
    from dvc.stage import Stage

SCORE = "validation_score"  # in every family, higher is better
_MD5 = "MD5 "  # before a checksum, which is not shown
_ELSEWHERE = "download.mirror"  # where a download comes from: what came is compared by its checksum


class Recipe:
    """What the trials of one search have in common.

    Attributes:
        content: the score, every setting that is not tried, by its name, and the checksum of every file or folder that
            the training or a stage before it reads and no stage writes: code, the pinned packages, the user's own data.
    """

    def __init__(self, family: Family, space: Space) -> None:
        """Read it from the workspace, as `dvc.yaml` declares it; takes about a second.

        Raises:
            BadInput: no stage up to the training reads a setting that is to be tried; or the training sees the examples
                whose score is compared.
        """
        from dvc.repo import Repo

        with Repo(".") as repo:
            stages = sorted(repo.stage.collect(f"train-{family.key}", with_deps=True), key=lambda each: each.addressing)
            if idle := [name for name in space if not any(_reads(stage, name) for stage in stages)]:
                raise BadInput(f"train-{family.key} does not depend on {listed(idle)}; trials would not differ")
            self.content: dict[str, Any] = {"the score": SCORE}
            for stage in stages:
                self.content |= {name: value for name, value in _settings(stage, family) if name not in space}
                self.content |= dict(_checksums(stage))
            self._raw = list(_raw_data(stages, family, space))
        seen = f"{family.training_section}.include_validation"
        if self.content.get(seen) or seen in space:
            raise BadInput(f"{seen}: set it to false for a search, which compares scores of validation examples")

    def data_of(self, experiment: str) -> dict[str, str]:
        """The checksums of the raw data that an experiment was trained on, by folder.

        What the tried settings change is left out, and so is what is computed of the raw data: its last digits may
        differ between two kinds of processor.
        """
        found = {}
        for stage, folder in self._raw:
            if (checksum := locked_dependencies(stage, experiment).get(folder)) is not None:
                found[folder] = _MD5 + checksum
        return found


def described(family: Family, space: Space) -> dict[str, Any]:
    """The family and the ranges of a search."""
    return {"family": family.key, **{setting: list(how) for setting, how in space.items()}}


def check_equal(name: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Check that trials of this checkout are comparable with those that the search has.

    Raises:
        BadInput: something differs; the message says what.
    """
    if found := list(_differences(there, here)):
        raise BadInput(
            f"the search {name} has trials that those of this checkout cannot be compared with: "
            f"{listed(found, '; ')}. Make them equal (`git pull`, `dvc pull`), or choose another --name"
        )


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*there, *here}):
        if name not in there:
            yield f"{name} is here, but not in the search"
        elif name not in here:
            yield f"{name} is in the search, but not here"
        elif there[name] != here[name]:
            values = f"is {_shown(there[name])} there and {_shown(here[name])} here"
            yield f"{name} {'differs' if str(here[name]).startswith(_MD5) else values}"


def _shown(value: Any) -> str:
    """A setting's value, or a range as it is written on the command line."""
    if not isinstance(value, list) or not value or value[0] not in ("log", "linear", "choices"):
        return str(value)
    kind, *values = value
    if kind == "choices":
        return ",".join(map(str, values))
    low, high, *step = values
    return f"{'log:' if kind == 'log' else ''}{low}..{high}" + "".join(f":{each}" for each in step)


def _settings(stage: "Stage", family: Family) -> Iterator[tuple[str, Any]]:
    """The settings that a stage reads, without those of other families, which bring weights for their own trainings."""
    from dvc.dependency import ParamsDependency

    for each in stage.deps:
        if isinstance(each, ParamsDependency):
            for name, value in flattened(each.read_params()).items():
                section = name.partition(".")[0]
                if name != _ELSEWHERE and (not section.startswith("train_") or section == family.training_section):
                    yield name, value


def _reads(stage: "Stage", setting: str) -> bool:
    from dvc.dependency import ParamsDependency

    names = (name for each in stage.deps if isinstance(each, ParamsDependency) for name in each.params)
    return any(f"{setting}.".startswith(f"{name}.") for name in names)


def _checksums(stage: "Stage") -> Iterator[tuple[str, str]]:
    """The checksums of what a stage reads and no stage writes."""
    from dvc.dependency import ParamsDependency

    for each in stage.deps:
        if not isinstance(each, ParamsDependency) and not _is_written(each.def_path):
            yield each.def_path, _MD5 + (str(each.get_hash().value) if each.exists else "of nothing")


def _is_written(path: str) -> bool:
    """Whether stages write what is at a path."""
    return path.startswith(tuple(f"{folder}/" for folder in (paths.RAW, paths.PROCESSED, paths.MODELS, paths.REPORTS)))


def _raw_data(stages: Sequence["Stage"], family: Family, space: Space) -> Iterator[tuple[str, str]]:
    """Each stage that reads raw data which the tried settings do not change, and the folder of the data."""
    changing = [stage for stage in stages if any(name in space for name, _ in _settings(stage, family))]
    changed = {out.def_path for stage in changing for out in stage.outs}
    for stage in stages:
        for each in stage.deps:
            if each.def_path.startswith(f"{paths.RAW}/") and each.def_path not in changed:
                yield stage.addressing, each.def_path
