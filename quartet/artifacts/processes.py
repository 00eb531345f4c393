"""Processes by name: whether the one that began a run or a trial still lives, told by its number and its start."""

import socket

import psutil


def this_process() -> str:
    """What names this process on this machine, also after its number is given to another."""
    return _named(psutil.Process())


def process_tags() -> dict[str, str]:
    """Tags that tell who logs to a run and, later, whether this process still lives."""
    return {
        "mlflow.user": psutil.Process().username(),
        "quartet.host": socket.gethostname(),
        "quartet.process": this_process(),
    }


def is_alive(name: str) -> bool:
    """Whether the process of that name, on this machine, still runs."""
    pid = name.partition(" ")[0]
    process = living(int(pid)) if pid.isdigit() else None
    try:
        return process is not None and _named(process) == name
    except psutil.Error:
        return False


def living(pid: int) -> psutil.Process | None:
    """The process of that number; none where it has ended, even if nobody has waited for it yet."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.Error:
        return None


def _named(process: psutil.Process) -> str:
    return f"{process.pid} started {process.create_time():.2f}"
