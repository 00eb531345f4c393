"""What tells a checkout from those of other machines: each knows which trials of a shared search are its own."""

import functools
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path

from quartet.artifacts import paths
from quartet.artifacts.processes import is_alive, this_process
from quartet.tracking import store


def own_attributes() -> dict[str, str]:
    """A trial's attributes that say which process of which checkout runs it."""
    place = f"{socket.gethostname()}:{paths.repository()}"
    return {"process": this_process(), "checkout": place, "checkout_id": _checkout_id(paths.repository())}


def is_own(attributes: Mapping[str, str]) -> bool:
    """Whether a process of this checkout runs the trial with these attributes."""
    own = own_attributes()
    return all(attributes.get(key) == own[key] for key in ("checkout", "checkout_id"))


def is_running(attributes: Mapping[str, str]) -> bool:
    """Whether the process of this machine that runs the trial with these attributes is alive."""
    return is_alive(attributes.get("process", ""))


@functools.cache
def _checkout_id(repository: Path) -> str:
    """A random name: machines that are made of one image may have the same host name, and checkouts at one place."""
    file = repository / ".quartet/checkout"
    with store.lock("checkout"):
        if not file.exists():
            file.write_text(uuid.uuid4().hex, encoding="utf-8")
        return file.read_text(encoding="utf-8")
