"""How much memory this process may still use, as the machine or its control group allows, and the most it has used."""

import resource
import sys
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes; caches of files count as free."""
    limit, used = memory_limit(), psutil.Process().memory_info().rss
    available = psutil.virtual_memory().available
    return available if limit is None else max(0, min(available, limit - used))


def peak_memory() -> int:
    """The most bytes that this process has used, with program and libraries."""
    if sys.platform == "linux":
        # `getrusage` would include the memory of the process that started this one.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_limit(groups: Path = GROUPS, membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """The smallest limit of the control groups that this process is in, as of a container; None without one."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # no Linux
        return None
    limits = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "memory":
            folder, name = groups / "memory" / place.lstrip("/"), "memory.limit_in_bytes"
        elif not controllers:
            folder, name = groups / place.lstrip("/"), "memory.max"
        else:
            continue
        # In a container, its own group appears at the top.
        for group in (folder, *folder.parents, groups):
            try:
                text = (group / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit():
                limits.append(int(text))
    return min(limits) if limits else None
