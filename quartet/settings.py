"""The settings of the whole pipeline, `params.yaml`, combined from the sections of items and families."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from quartet.artifacts.fetching import Fetching
from quartet.artifacts.paths import OWN, user_path
from quartet.artifacts.secrets import without_secrets
from quartet.families import FAMILIES, ITEMS
from quartet.params.fields import section, setting
from quartet.params.reading import BadSettings, build, read_yaml
from quartet.params.shared import Runtime, Training

PARAMS = Path("params.yaml")
PRESETS = Path(__file__).parents[1] / "presets"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Every setting, checked.

    Attributes:
        tree: an instance of `schema()`, whose attributes are named as in `params.yaml`.
    """

    tree: Any

    @property
    def seed(self) -> int:
        """The seed of all randomness except the splits."""
        return self.tree.seed

    @property
    def runtime(self) -> Runtime:
        """The machine's settings."""
        return self.tree.runtime

    @property
    def fetching(self) -> Fetching:
        """How files are downloaded."""
        return self.tree.download

    @property
    def batch_size(self) -> int:
        """How many examples an evaluation scores at once."""
        return self.tree.evaluate.batch_size

    def source(self, item: str) -> str:
        """Where the raw data of an item comes from."""
        return getattr(self.tree.download, item)

    def unnoticed(self, item: str) -> str | None:
        """What to say if the data of an item is a user's own and lies where `dvc repro` does not see it change."""
        kind, _, path = self.source(item).partition(":")
        seen = user_path(str(OWN / item)).resolve()
        if not path or kind not in ITEMS[item].own or user_path(path).resolve().is_relative_to(seen):
            return None
        return (
            f"{path} lies outside {OWN / item}, where alone `dvc repro` notices changes: move it there, or read it "
            f"again by `dvc repro --force download@{item}` when it has changed"
        )

    def preparation(self, item: str) -> Any:
        """How the data of an item is prepared."""
        return getattr(self.tree.preprocess, item)

    def training(self, family: str) -> Training:
        """How the model of a family is trained."""
        return self.section(FAMILIES[family].training_section)

    def section(self, name: str) -> Any:
        """A section by its dotted name."""
        return functools.reduce(getattr, name.split("."), self.tree)

    def conflicts(self) -> Iterator[str]:
        """Errors that checking each setting by itself cannot find."""
        yield from self.runtime.conflicts()
        if self.fetching.mirror and without_secrets(self.fetching.mirror) != self.fetching.mirror:
            yield (
                "download.mirror: found an address with a login or a token, which `dvc.lock` would show to everybody; "
                "put the login into ~/.netrc, which downloads read"
            )
        for item in ITEMS:
            yield from self.preparation(item).conflicts()
        for family in FAMILIES.values():
            scored = family.evaluation_section in family.sections
            evaluation = self.section(family.evaluation_section) if scored else None
            yield from self.training(family.key).conflicts(self.preparation(family.item), evaluation)


def read_settings(path: Path = PARAMS) -> Settings:
    """Read every setting of the pipeline; missing keys keep their defaults.

    Raises:
        BadSettings: the file is missing or is not YAML, a key is unknown, of the wrong type or out of its range, or
            settings contradict each other.
    """
    return settings_of(read_yaml(path), path)


def settings_of(given: object, path: Path = PARAMS) -> Settings:
    """Build the settings from a mapping read from YAML; error messages name `path`.

    Raises:
        BadSettings: as `read_settings`.
    """
    errors: list[str] = []
    settings = Settings(build(schema(), given, "", errors))
    errors = errors or list(settings.conflicts())
    if errors:
        raise BadSettings(path, errors)
    return settings


def preset(name: str) -> Settings:
    """The default settings, changed by `presets/NAME.yaml`.

    Raises:
        BadSettings: there is no such preset, or it has errors.
    """
    path = preset_file(name)
    return settings_of(read_yaml(path), path)


def preset_file(name: str) -> Path:
    """The path of a preset.

    Raises:
        BadSettings: there is no such preset; the message lists those that exist.
    """
    path = PRESETS / f"{name}.yaml"
    if name not in preset_names():
        raise BadSettings(path, [f"there is no preset {name!r}; there are {', '.join(preset_names())}"])
    return path


def preset_names() -> list[str]:
    """The names of all presets."""
    return sorted(file.stem for file in PRESETS.glob("*.yaml"))


@functools.cache
def schema() -> type:
    """The dataclass of the whole `params.yaml`, with nested sections."""
    sections = {name: resolve_name(place) for family in FAMILIES.values() for name, place in family.sections.items()}
    trainings = {name: kind for name, kind in sections.items() if name.startswith("train_")}
    evaluations = {
        name.removeprefix("evaluate."): kind for name, kind in sections.items() if name.startswith("evaluate.")
    }
    sources = [(item.key, str, resolve_name(item.source)) for item in ITEMS.values()]
    download = dataclasses.make_dataclass("Download", sources, bases=(Fetching,), frozen=True)
    preprocess = _of_sections("Preprocess", {item.key: resolve_name(item.settings) for item in ITEMS.values()})
    evaluate = dataclasses.make_dataclass(
        "Evaluate",
        [("batch_size", int, _BATCH_SIZE), *_fields(evaluations)],
        frozen=True,
    )
    parts = {"runtime": Runtime, "download": download, "preprocess": preprocess, **trainings, "evaluate": evaluate}
    return dataclasses.make_dataclass("Params", [("seed", int, _SEED), *_fields(parts)], frozen=True)


_SEED = setting(0, "seed of all randomness except the splits", at_least=0, below=2**32)
_BATCH_SIZE = setting(
    256,
    "examples scored or drawn at once; with `ddpm`, or `rejection` without a matcher, it affects what is drawn",
    at_least=1,
    at_most=65536,
)


def _of_sections(name: str, sections: dict[str, type]) -> type:
    return dataclasses.make_dataclass(name, _fields(sections), frozen=True)


def _fields(sections: dict[str, type]) -> list[tuple[str, type, Any]]:
    return [(name, kind, section(kind)) for name, kind in sections.items()]
