"""Change settings in `params.yaml` without touching its comments or order."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def changed_yaml(path: Path, changes: Mapping[str, object]) -> tuple[str, Any]:
    """The text of a YAML file with some dotted keys set to other values, and what it then holds.

    Comments and the order of what is there stay; sections and keys that are missing are added.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # long values stay on their line
    yaml.representer.add_representer(type(None), _represent_null)
    content = yaml.load(path.read_text(encoding="utf-8"))
    content = {} if content is None else content
    for name, value in changes.items():
        *sections, key = name.split(".")
        place = content
        for section in sections:
            if not isinstance(place.get(section), dict):
                place[section] = {}
            place = place[section]
        place[key] = value
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue(), content


def _represent_null(representer: Any, value: None) -> Any:
    """As `null`; ruamel would leave the place empty."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def flattened(content: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested settings by dotted name."""
    found: dict[str, object] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flattened(value, f"{name}.")
        else:
            found[name] = value
    return found
