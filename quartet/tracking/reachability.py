"""Whether a tracking server or database answers, found out within three seconds and without importing MLflow."""

import base64
import os
import socket
import sqlite3
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil

from quartet.artifacts.secrets import LOGIN

PROBE_SECONDS = 3.0
LOCK_SECONDS = 2.0  # that a database may be locked before this is said
_API = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=quartet"  # `/health` answers without the database
_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mssql": 1433}
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL answers it with one byte, before any login


def check_answers(address: str) -> None:
    """Check that a server answers, whatever it answers.

    Raises:
        ConnectionError: it does not within three seconds, or has an error of its own.
    """
    scheme = address.partition(":")[0].partition("+")[0].lower()
    ask = _ask_http if scheme in ("http", "https") else _ask_database if scheme in _PORTS else None
    if ask is None:
        return
    found: list[Exception | None] = []
    # Time limits of sockets hold for each read, and there is none for looking up a name.
    thread = threading.Thread(target=lambda: found.append(_failure(ask, address)), daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if not found:
        raise ConnectionError(f"no answer within {PROBE_SECONDS:.0f} s")
    if found[0] is not None:
        raise ConnectionError(str(found[0]) or type(found[0]).__name__) from found[0]


def _failure(ask: Callable[[str], None], address: str) -> Exception | None:
    try:
        ask(address)
    except (OSError, HTTPException, ValueError) as error:
        return error
    return None


def _ask_http(address: str) -> None:
    request = urllib.request.Request(LOGIN.sub("", address).rstrip("/") + _API)
    if (login := _authorization(address)) is not None:
        request.add_unredirected_header("Authorization", login)
    try:
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise
        # Otherwise it answers: there is no such experiment yet, or it asks for a login.
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLCertVerificationError):
            raise
        # It answers; MLflow knows which certificates to trust.


def _authorization(address: str) -> str | None:
    """The header that MLflow sends: the login of the address or of the environment, or the token."""
    parts = urlsplit(address)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    user, password = (
        user or os.environ.get("MLFLOW_TRACKING_USERNAME", ""),
        (password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")),
    )
    if user:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None


def _ask_database(address: str) -> None:
    parts = urlsplit(address)
    kind = parts.scheme.partition("+")[0].lower()
    if not parts.hostname:  # a socket of this machine
        return
    with socket.create_connection((parts.hostname, parts.port or _PORTS[kind]), timeout=PROBE_SECONDS) as connection:
        if kind.startswith("postgres"):
            connection.sendall(_SSL_REQUEST)
        if kind != "mssql" and not connection.recv(1):  # MySQL speaks first
            raise ConnectionError("it closed the connection")


def check_unlocked(database: Path) -> None:
    """Check that an SQLite database can be written to.

    Raises:
        sqlite3.Error: another process holds its lock, for two seconds by now; or it cannot be used.
    """
    connection = sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def holders(database: Path) -> str:
    """Who holds the lock of an SQLite database, or who has it open: ` by process 12 (python)`; empty if unknown."""
    files = [path for suffix in ("", "-wal", "-shm") if (path := Path(f"{database}{suffix}")).exists()]
    found = _lockers(files) or _users(files)
    return " by process " + " or ".join(f"{pid} ({_name(pid)})" for pid in found[:3]) if found else ""


def _lockers(files: list[Path]) -> list[int]:
    """The processes that hold a lock to write on one of the files, as Linux lists them."""
    inodes = {str(path.stat().st_ino) for path in files}
    try:
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return []
    # `1: POSIX ADVISORY WRITE 1234 08:01:5678 120 120`
    locks = [words for words in lines if len(words) > 5 and words[3] == "WRITE" and words[4].isdigit()]
    pids = {int(words[4]) for words in locks if words[5].rpartition(":")[2] in inodes}
    return sorted(pids - {0, os.getpid()})


def _users(files: list[Path]) -> list[int]:
    names, found = {str(path.resolve()) for path in files}, []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(each.path in names for each in process.open_files()):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def _name(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline()[:4])[:60]
    except psutil.Error:
        return "ended"
