"""Change settings in `params.yaml` without touching its comments or order."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quartet.params.reading import read_mapping


def changed_yaml(path: Path, changes: Mapping[str, object]) -> tuple[str, Any]:
    """Set some dotted keys of a YAML file; returns its new text and content, and writes nothing.

    Comments and order are kept; missing sections and keys are added.

    Raises:
        BadSettings: the file is missing, is not YAML, or holds anything but a mapping.
    """
    read_mapping(path)
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

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
        # Otherwise ruamel breaks the line at Unicode's rarer line ends, which become spaces when read.
        if isinstance(value, str) and not value.isprintable():
            value = DoubleQuotedScalarString(value)
        place[key] = value
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue(), content


def _represent_null(representer: Any, value: None) -> Any:
    """Write None as `null`; ruamel would write nothing."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def flattened(content: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested settings as a flat mapping from dotted names."""
    found: dict[str, object] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flattened(value, f"{name}.")
        else:
            found[name] = value
    return found
