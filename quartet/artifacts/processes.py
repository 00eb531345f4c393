"""Tell whether the process that started a run or a trial is still alive, by its id and start time."""

import socket

import psutil


def this_process() -> str:
    """A name for this process that stays unique on this machine even if its id is reused."""
    return _named(psutil.Process())


def process_tags() -> dict[str, str]:
    """Run tags with the user, the host and this process, so that `is_alive` can check it later."""
    return {
        "mlflow.user": psutil.Process().username(),
        "quartet.host": socket.gethostname(),
        "quartet.process": this_process(),
    }


def is_alive(name: str) -> bool:
    """Whether the process that `this_process` gave this name is still running."""
    pid = name.partition(" ")[0]
    process = find_process(int(pid)) if pid.isdigit() else None
    try:
        return process is not None and _named(process) == name
    except psutil.Error:
        return False


def find_process(pid: int) -> psutil.Process | None:
    """The process with this id, or None if it has ended (a zombie counts as ended)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.Error:
        return None


def _named(process: psutil.Process) -> str:
    return f"{process.pid} started {process.create_time():.2f}"
