"""How much memory this process may still use: what the machine has, or what its control group allows."""

from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes; caches of files count as free."""
    limit, used = memory_limit(), psutil.Process().memory_info().rss
    available = psutil.virtual_memory().available
    return available if limit is None else max(0, min(available, limit - used))


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
