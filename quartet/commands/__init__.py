"""The commands of `python -m quartet`, one per file."""

from typing import Any

FROM_PARAMS: dict[str, Any] = {"show_default": "from params.yaml"}  # of options that a setting gives a default
