"""Processes by name: whether the one that began a run or a trial still lives, told by its number and its start."""

import socket

import psutil


def this_process() -> str:
    """The name of the process that asks."""
    return named(psutil.Process())


def process_tags() -> dict[str, str]:
    """Tags that tell who logs to a run and, later, whether this process still lives."""
    return {
        "mlflow.user": psutil.Process().username(),
        "quartet.host": socket.gethostname(),
        "quartet.process": this_process(),
    }


def is_alive(name: str) -> bool:
    """Whether the process of that name, on this machine, still runs; a zombie, which nobody waited for, does not."""
    pid = name.partition(" ")[0]
    try:
        process = psutil.Process(int(pid)) if pid.isdigit() else None
        return process is not None and named(process) == name and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def named(process: psutil.Process) -> str:
    """What names a process on this machine, also after its number is given to another."""
    return f"{process.pid} started {process.create_time():.2f}"
